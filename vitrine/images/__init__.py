"""Pictures: bytes to pixels by one path, in training, Spark and the search tier, whatever the bytes hold.

decoding.py        bytes to an upright RGB picture, or an ImageError
preprocessing.py   a picture to the pixels that an encoder takes
inspection.py      what a file asks of its decoder, counted before decoding by `formats/`
decoders/          processes that decode what is not ordinary, each under a limit of CPU time and memory
decoder.py         what runs in such a process
"""
