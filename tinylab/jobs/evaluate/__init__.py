"""Score samples against real data.

drawing.py   draws what is missing, batch by batch, in one process or several
batches.py   the batches of one model on the disk
scoring.py   features and scores of what was drawn, or of pictures from files
job.py       from the config to the result
"""
