"""Evidence reports: what a court is handed of one person and a time, so that it can be checked without us.

contents  what is in one, as texts and tables
gathering out of the record, with how sure each thing is
drawing   maps, as SVG
printing  as HTML, and as PDF where Typst is there
making    all of it as one file with hashes and proofs
"""
