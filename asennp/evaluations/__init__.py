"""`asennp evaluate` and `asennp transition`: chosen properties of several calculators, on one page."""
