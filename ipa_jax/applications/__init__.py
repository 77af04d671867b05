"""What a person does with all this: put new photos in order by the likes of an account's own past.

`ranking.py` ranks photos, `own_past.py` says how often that was right before, `scorers.py` lists the scorers.
"""
