"""Codecs: compression and encryption of entries that leave the process."""

from perfmw.cache.codecs.chain import Chain
from perfmw.cache.codecs.encryption import AEADCodec, read_keys
from perfmw.cache.codecs.zstd import ZstdCodec, zstd_available

__all__ = ["AEADCodec", "Chain", "ZstdCodec", "read_keys", "zstd_available"]
