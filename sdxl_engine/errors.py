"""Every error the engine raises on purpose.

EngineError
├── InvalidRequestError      the request cannot be drawn as asked; nothing was computed
├── CheckpointError          the model's files are missing, damaged or of another kind
├── CredentialsError         what pictures are to be signed with cannot be used
├── EngineStartError         the engine could not be made ready; every waiter gets it
├── EngineFullError          the hand-off to the engine is full; ask again later
├── EngineClosedError        the engine is stopping or has stopped
├── JobCancelledError        somebody stopped this job
├── DrawError                this one job failed on the device; the engine goes on
└── PictureCheckError        nobody can say what this job's images show; they must not be shown

`str(error)` is a sentence for the person who asked: what happened, and what to do next. It can be
said in another language (`sentence.py`), but for CheckpointError and CredentialsError, which are
for whoever runs the engine, and what only a program can do wrong, such as latents of another shape.
"""


class EngineError(Exception):
    """Base of everything below."""


class InvalidRequestError(EngineError):
    """A request that cannot be drawn as asked; found before any device time is spent."""


class CheckpointError(EngineError):
    """A model folder or repository that cannot be loaded; names every offending file or tensor."""


class CredentialsError(EngineError):
    """The certificate or the key cannot sign pictures, or not now; they are as they were."""


class EngineStartError(EngineError):
    """The pipeline could not be loaded or compiled; the cause is chained."""


class EngineFullError(EngineError):
    """The bounded hand-off to the engine thread holds as many jobs as it may."""


class EngineClosedError(EngineError):
    """The engine takes no more jobs, and this one was not drawn."""


class JobCancelledError(EngineError):
    """The job was cancelled before its images were finished."""


class DrawError(EngineError):
    """Drawing one request failed (device memory, device error); the cause is chained."""


class PictureCheckError(EngineError):
    """The picture check gave no verdict on a job's images, so that nobody may see them."""
