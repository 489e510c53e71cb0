"""One report for each encoder version: what it finds, where, how surely, and beside what.

`catalog` reads a folder, `tasks` finds out what can be asked of it, `retrievers` answer, `scoring` judges each query,
`measurement` puts it together as a `report`, `comparison` says whether a challenger beats the champion. `coco` asks the
same of an image-caption set.
"""
