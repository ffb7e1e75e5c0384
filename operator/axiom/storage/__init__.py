"""Object storage: one object per key, written once, found again by its digest.

`keys` says where things lie; `store` is the contract; `folder` and `s3` keep it.
"""
