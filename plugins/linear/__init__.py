"""What is a linear map?"""
