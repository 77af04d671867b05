"""The human row of Table 1 (section 4.2.1): people choose which of two photos got more likes.

`pairs.py` draws the pairs, `photo.py` removes everything from a photo but the picture, `answers.py` keeps the study's
SQLite file, and `web.py` has the pages. `score.py` joins the likes afterwards. The commands are in `__main__.py`.
"""
