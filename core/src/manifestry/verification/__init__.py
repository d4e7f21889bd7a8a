"""Whether an output still says what its sources hold: from the output alone.

================  ==============================================================================
`comparing`       `verify`: samples of every array, compared element by element
`origins`         the sources that provenance names: unchanged, parsed afresh, read by an oracle
`oracles`         the libraries of formats, in a process of their own
`correspondence`  which region of which source a chunk of the output corresponds to
`values`          whether elements are the same, or mean the same where they were encoded again
`metadata`        whether attributes, dimensions and data types are those of the sources
`report`          VerifyReport: what was compared, and what differs
================  ==============================================================================
"""

from manifestry.verification.comparing import verify
from manifestry.verification.report import ArrayCheck, Difference, SourceCheck, VerifyReport

__all__ = ["ArrayCheck", "Difference", "SourceCheck", "VerifyReport", "verify"]
