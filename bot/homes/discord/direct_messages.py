"""What the bot tells one person alone, without having been asked."""

import logging

import discord

from bot.core.case import Notice
from bot.errors import BotError, UndeliveredError
from bot.homes.discord import render
from bot.homes.discord.calls import Calls, GetClient, is_passing, translated
from bot.homes.discord.sharded import server_of
from bot.homes.discord.voice import Voice
from bot.languages.languages import Languages
from sdxl_engine.sentence import say, sentences

log = logging.getLogger(__name__)


class DirectMessages:
    """Tells people what is for them, in their own language.

    client  waits until a client is logged in
    """

    def __init__(self, client: GetClient, calls: Calls, languages: Languages) -> None:
        self._client = client
        self._calls = calls
        self._languages = languages

    async def tell(self, notice: Notice) -> None:
        """See `Home.notify`."""
        client = await self._client()
        guild = await server_of(client, notice.community)
        text = _text(guild, notice, Voice(self._languages, notice.to.locale))

        async def send() -> None:
            channel = await client.create_dm(discord.Object(int(notice.to.id)))
            # Sent again with the same nonce, Discord gives back the message that is there.
            await channel.send(text, nonce=f"notice-{notice.number}", suppress_embeds=True)

        try:
            await self._calls.make(client, send, channel=None, patience=self._calls.patience())
        except BotError:
            raise
        except Exception as error:
            if is_passing(error):
                raise translated(error) from error
            log.info("somebody takes no direct messages: %r", error)
            raise UndeliveredError(f"They take no messages of the bot: {error!r}.") from error


def _text(guild: discord.Guild | None, notice: Notice, voice: Voice) -> str:
    server = "" if guild is None else say("This is about the server {name}.", name=guild.name)
    return render.failure_text(sentences(notice.sentence, server), voice)
