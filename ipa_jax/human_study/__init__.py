"""The human row of Table 1 (section 4.2.1): people choose, of pairs of photos, the one with more likes.

`pairs.py` draws the pairs, `photo.py` takes off a photo all that is not picture, `answers.py` keeps the study's SQLite
file, `web.py` is the page, `score.py` joins the likes afterwards. The commands: `__main__.py`.
"""
