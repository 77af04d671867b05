"""The systems that the paper compares with: their networks behind the train loop's interface, and zero-shot scores.

What each docstring says of a system is marked where it is not read in its published code: [public] an abstract or a
listing, [recalled] from the paper as remembered, [choice] ours.
"""
