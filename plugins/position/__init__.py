"""What becomes of queries and keys before they meet, and how do they know where tokens stand?"""
