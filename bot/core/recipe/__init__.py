"""What a picture's file says of how it was drawn, by this program or another: read from its bytes.

No picture is decoded: `texts.py` finds the texts beside the pixels, a module for each program reads
what it writes, and `reading.py` is the way in.
"""
