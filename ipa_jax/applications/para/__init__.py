"""PARA (section 4.2.2): does the score go with how willing people are to share a photo?"""
