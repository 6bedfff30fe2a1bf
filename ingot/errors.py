"""The exception for every failure that a user can fix: what is wrong, where, and what to do."""


class IngotError(Exception):
    """A failure that a user can fix; the command line prints it and exits with `exit_code`.

    `message` says what is wrong in one sentence, `place` names the file, line or key, `hint` says how to fix it.
    """

    def __init__(self, message: str, *, place: str = "", hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class UsageError(IngotError):
    """A wrong name or option: exit code 2."""

    def __init__(self, message: str, *, place: str = "", hint: str = "") -> None:
        super().__init__(message, place=place, hint=hint, exit_code=2)
