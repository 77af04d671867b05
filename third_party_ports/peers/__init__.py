"""Networks of earlier work on popularity and aesthetics: NIMA, MUSIQ, I2PA, UHAN."""
