"""The geofence core beside what a user could pick instead, and beside the machine: `python -m benchmarks.geofence`.

Every ratio is of two medians of one run, taken in turns, because the machine is small and shared. The workloads are invented
(`worlds.py`); with `--data` those of shared data are measured too, if they are there.

    W1   30,000 wearers with 5 zones of 20 corners each
    W2   a shared set of 30,000 small polygons (schools)
    W3   a shared set of 50 districts of 10,000 to 50,000 corners
    W4   all of it for every fix
    r    with radii like the field's, and the three-valued verdict that RULES.md needs
"""
