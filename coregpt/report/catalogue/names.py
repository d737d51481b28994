"""What the pages of the catalogue share: names of files, the first sentence, and rules of style."""

INDEX, MATRIX = "index.html", "together.html"
ATLAS_PAGE, ATLAS_TEXT = "atlas.html", "atlas.md"
OPTIMIZERS_PAGE, OPTIMIZERS_TEXT, OPTIMIZERS_PICTURE = "optimizers.html", "optimizers.md", "optimizers.svg"
WARNING = "Effects were measured at laptop scale. They are no promise about a model of a billion parameters."
NAMES = """
.words tbody td,.words tbody th,.words thead th{overflow-wrap:break-word;min-width:3.5rem}
"""
"""Names of techniques are not broken, and columns of numbers are narrow."""
RULES = """
a{color:var(--c1)}nav{margin:0 0 1rem}
#search{font:inherit;width:100%;max-width:32rem;padding:.45rem .8rem;border:1px solid var(--rule);border-radius:999px}
#search{background:var(--paper);color:var(--ink)}
.told+.told{margin-top:.35rem}.told b{font-weight:600}
.card{white-space:pre-wrap;font-size:.92rem}
.matrix{border-collapse:collapse;width:auto}.matrix th,.matrix td{padding:0;border:0}
.matrix td{width:.62rem;height:.62rem;min-width:.62rem;outline:1px solid var(--ground)}
.matrix .go{background:var(--c3);opacity:.35}.matrix .no{background:var(--c2)}.matrix .own{background:var(--rule)}
.matrix tbody th{font-weight:400;font-size:.62rem;line-height:.62rem;text-align:right;padding-right:.35rem}
.matrix thead th{font-weight:400;font-size:.62rem;writing-mode:vertical-rl;text-align:right;padding-bottom:.3rem}
"""
