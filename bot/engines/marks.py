"""From the configuration to the marks that every picture gets."""

from bot.config.sections import MarksConfig
from bot.errors import ConfigError
from sdxl_engine.marks.marks import Marks


def marks_of(config: MarksConfig) -> Marks:
    """What is to be put on pictures; raises ConfigError, CredentialsError."""
    # Late: SciPy and c2pa-rs come with what is asked for.
    watermark = credentials = None
    if config.watermark:
        from sdxl_engine.marks.watermark import USUAL_KEY, Watermark  # noqa: PLC0415

        watermark = Watermark(config.watermark_key or USUAL_KEY)
    if (config.certificate is None) != (config.private_key is None):
        raise ConfigError(
            "[marks] certificate and private_key belong together: set both, or empty both."
        )
    if config.certificate is not None and config.private_key is not None:
        from sdxl_engine.marks.credentials import Credentials  # noqa: PLC0415

        credentials = Credentials(config.certificate, config.private_key, config.timestamp_url)
    return Marks(watermark, config.xmp, credentials)
