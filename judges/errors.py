"""Five errors, one per boundary; each message says what, with the value · where · what to do."""


class CharterError(Exception):
    """What the command line prints as one line, without a traceback."""


class ConfigError(CharterError, ValueError):
    """A setting, flag, recipe or judge definition cannot be used as written."""


class ConstitutionError(CharterError, ValueError):
    """A constitution file or reference cannot be used as written."""


class DataError(CharterError, ValueError):
    """A data file, a line of it, or the place it should go cannot be used."""


class ModelError(CharterError, RuntimeError):
    """An engine or a model cannot be started, reached or loaded."""


class VerdictError(CharterError, RuntimeError):
    """Judging as a whole cannot go on; single failures are records, not errors."""
