"""What does training minimise?"""
