"""What the paper printed (Tables 1 and 2, and sections 4.2.1 and 4.2.2), on its own data: one run each.

The standard error of one accuracy there is 0.16 (pairs apart) to 0.34 points (pairs of a group together), so its own
"+ Retrieval" and "+ 3D" are one to three standard errors. The human row is inconsistent: "accuracy" in the abstract,
"mean of the error rate" in 4.2.1; 22 people, 30 pairs each, the highest and the lowest left out.
"""

# Table 1: accuracy, PLCC, SRCC, Ratio MSE. NIMA, MUSIQ and Ding are the authors' public weights, not trained on the
# paper's data; Zhang and Xu are trained on it, by regression of log likes.
PAPER = (
    ("Human", 0.5866, None, None, None),
    ("NIMA", 0.5160, 0.0285, 0.0259, 2.0720),
    ("MUSIQ", 0.5284, 0.0614, 0.0540, 2.0830),
    ("Zhang et al.", 0.6486, 0.2149, 0.2024, 1.8892),
    ("Ding et al. (I2PA)", 0.7273, 0.3157, 0.3019, None),
    ("Xu et al. with Swin-B", 0.7751, 0.4047, 0.3804, 1.8130),
    ("The paper's model", 0.7948, 0.4052, 0.3871, 1.1388),
)
# Table 2: accuracy alone.
ABLATIONS = (
    ("Basic", 0.7864),
    ("+ Retrieval", 0.7912),
    ("+ 3D (the paper's model)", 0.7948),
    ("Concatenation", 0.6897),
    ("Log likes", 0.6873),
)
# Section 4.2.2: photos of PARA, those that the filters keep, and what the correlation is above.
PARA = {"images": 31_220, "kept": 5_079, "correlation": 0.4}
METRICS = ("accuracy", "plcc", "srcc", "ratio_mse")


def figures(name: str) -> dict[str, float | None]:
    """METRICS of a row of either table, None where the paper has none. Raises KeyError for a name of neither."""
    values = {row[0]: row[1:] for row in (*ABLATIONS, *PAPER)}[name]
    return dict(zip(METRICS, (*values, None, None, None), strict=False))
