"""What a picture's file asks of its decoder: counted before decoding, and decoded apart where counting is no proof.

structure.py   counts scans, chunks, strips and frames: what they will cost, and whether that is the whole cost
jpeg.py, png.py, tiff.py, small_formats.py   the same for each format
decoders.py    processes that decode what is not ordinary, each under a limit of CPU time and memory
decoder.py     what runs in such a process
"""
