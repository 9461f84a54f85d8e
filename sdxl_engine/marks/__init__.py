"""What says of a picture that a model made it: in the pixels, in the file, signed.

`watermark.py` lies in the pixels and outlives the file, `xmp.py` is what programs that show
pictures read, `credentials.py` signs the whole of it; `marks.py` puts them on in that order.
`file_marks.py` finds in anybody's file what lies beside the pixels. No jax here.
"""
