"""What a model's score must beat, and in a demo world what it can reach at most.

`names.py` lists the baselines. To add one, write a function that returns scores, and a row there.
"""
