"""Everybody is answered in their own language, and a card stays in that of the one who asked."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final
from unittest.mock import Mock

import pytest
from discord import Locale
from discord.app_commands import TranslationContextLocation, locale_str

from bot.core.wish import Usual
from bot.homes.discord.commands import ImagineCommand
from bot.homes.discord.translator import CommandTranslator
from bot.homes.discord.voice import Voice
from bot.languages.languages import Languages
from sdxl_engine.request import SAMPLERS
from sdxl_engine.sentence import say
from standins.discord.commands import MESSAGE_MENU
from standins.discord.components import files_of, pressable, text_of
from standins.discord.forms import Upload
from standins.discord.loopback import LoopbackDiscord
from tests.bot.conftest import SIZES, Bot, RunBot, make_config
from tests.bot.homes.discord.desk import GALLERY, MANAGERS, MOD_LOG, admin, at_desk, set_up
from tests.bot.homes.discord.desk import press as at_press
from tests.bot.homes.discord.test_faults import has_pictures
from tests.bot.homes.discord.test_jobs_in_the_channel import (
    ADA,
    BEN,
    CLEO,
    PAINTERS,
    custom_ids,
    mention,
    says,
    whispered,
)
from tests.bot.homes.discord.test_layout import gallery
from tests.bot.homes.discord.test_menus import IMAGINE, RECIPE
from tests.bot.homes.discord.test_options import picture
from tests.bot.homes.discord.test_presses import all_delivered, id_of, press
from tests.bot.homes.discord.test_running import count
from tests.bot.homes.discord.voices import (
    ENGLISH,
    EVERY_VOICE,
    FOREIGN,
    OPEN,
    beside_words,
    languages_of,
)
from tests.fakes import FakePipeline, Gate

Json = dict[str, Any]

LOCALES: Final = ENGLISH.languages.locales
# Code, times, sizes, addresses, and what a picture was drawn by.
_NAMES: Final = r"`[^`]*`|<t:\d+:R>|\d+x\d+|https://\S+|\b(?:imagine|doodle)$"
READ: Final = ("title", "content", "label", "description")
# A little German, whoever translated what.
GERMAN: Final = languages_of(
    "de",
    {
        ("job {job}",): ("Auftrag {job}",),
        ("step {step} of {steps}",): ("Schritt {step} von {steps}",),
        ("{count} step", "{count} steps"): ("{count} Schritt", "{count} Schritte"),
        ("Cancel",): ("Abbrechen",),
        ("The bot is restarting. Your place in the queue is kept.",): ("Der Bot startet neu.",),
        ("Only the one who asked for this, or a moderator, can do that.",): (
            "Das kann nur, wer es wollte.",
        ),
        ("Picture {number} of {total}: {prompt}",): ("Bild {number} von {total}: {prompt}",),
        ("Deleted by {who}.",): ("Gelöscht: {who}.",),
        ("Your pictures are there.",): ("Deine Bilder sind da.",),
        ("Draw pictures of what you describe",): ("Zeichnet, was du beschreibst",),
        ("What the pictures should show",): ("Was zu sehen sein soll",),
        ("mine",): ("meins",),
        ("Recipe",): ("Rezept",),
    },
)


def speaks(loopback: LoopbackDiscord, user_id: int, locale: str) -> None:
    loopback.world.people[user_id].locale = locale


def answered(message: Json) -> bool:
    return bool(text_of(message))


def offers(start: str) -> Callable[[Json], bool]:
    return lambda message: any(one.startswith(f"v1:{start}") for one in custom_ids(message))


async def visit(loopback: LoopbackDiscord, bot: Bot, gate: Gate) -> list[Json]:
    """Everything that somebody is shown, from the first command to the last dialog."""
    seen: list[Json] = []

    async def use(
        command: str, options: Json | None = None, until: Callable[[Json], bool] = answered
    ) -> Json:
        asked = await loopback.slash(command, options or {}, user_id=BEN)
        seen.append(await asked.until(until))
        return seen[-1]

    async def refused(command: str, options: Json) -> None:
        seen.append(await whispered(await loopback.slash(command, options, user_id=BEN)))

    async def pressed(message: Json, start: str, until: Callable[[Json], bool]) -> Json:
        custom_id = next(one for one in custom_ids(message) if one.startswith(f"v1:{start}"))
        seen.append(await (await press(loopback, message, custom_id)).until(until))
        return seen[-1]

    for command in ("history", "favourites", "help", "queue"):
        await use(command)
    await pressed(await use("jobs"), "mention:on", offers("mention:off"))
    wish = {"prompt": "a fox", "negative_prompt": "", "seed": 5, "tell_me": True, "lora": ""}
    asked = await loopback.slash("imagine", wish, user_id=BEN)
    seen.append(await asked.until(lambda one: "░" in text_of(one)))
    waiting = await loopback.slash("imagine", {"prompt": "a hen", "spoiler": True}, user_id=BEN)
    seen.append(await waiting.until(lambda one: "⏳" in text_of(one)))
    for command in ("jobs", "queue"):
        await use(command)
    gate.open()
    shown = await asked.until(has_pictures)
    seen += [shown, await waiting.until(has_pictures)]
    await all_delivered(bot, 2)
    draft = await use("imagine", {"prompt": "a cow", "private": True, "count": 1}, has_pictures)
    await all_delivered(bot, 3)
    looked = await pressed(draft, "open", has_pictures)
    await pressed(looked, "like", offers("unlike"))
    varied = await pressed(shown, "strong", has_pictures)
    await all_delivered(bot, 4)
    await pressed(varied, "recipe", answered)
    data = loopback.attachment_bytes(int(files_of(shown)[0]["id"]))
    await use("recipe", {"image": Upload("a.png", "image/png", data)})
    seen.append((await (await press(loopback, shown, id_of(shown, "edit"))).dialog()).form)
    own = (int(shown["id"]), int((await loopback.say("", picture(), user_id=BEN))["id"]))
    for message_id in own:
        used = await loopback.use_on_message(message_id, IMAGINE, user_id=BEN)
        seen.append((await used.dialog()).form)
    used = await loopback.use_on_message(own[0], RECIPE, user_id=BEN)
    seen.append(await used.until(answered))
    used = await loopback.use_on_message(own[1], RECIPE, user_id=BEN)
    seen.append(await whispered(used))
    for command in ("jobs", "favourites", "about"):
        await use(command)
    await pressed(await use("history"), "page:drawn:1", offers("page:drawn:0"))
    await use("settings", {"steps": 3, "negative_prompt": "", "count": 2, "private": False})
    await use("settings", {"spoiler": False, "tell_me": True, "lora": ""})
    await refused("imagine", {"prompt": "a fox --ar 0:0"})
    await refused("imagine", {"prompt": "a fox", "strength": 0.5})
    await refused("recipe", {})
    await refused("recipe", {"job": "aaaaaaaa"})
    await ordered(loopback, shown, seen)
    await pressed(varied, "delete", lambda one: not files_of(one))
    return seen


async def ordered(loopback: LoopbackDiscord, card: Json, seen: list[Json]) -> None:
    """What those who keep order are shown, and of what they see."""

    async def use(command: str, **options: object) -> None:
        asked = await admin(loopback, command, user_id=BEN, **options)
        seen.append(await asked.until(answered))

    async def refused(command: str, **options: object) -> None:
        seen.append(await whispered(await admin(loopback, command, user_id=BEN, **options)))

    async def decided(kind: str, title: str) -> None:
        case = await at_desk(loopback, lambda one: f"v1:{kind}:" in str(one) and title in str(one))
        button = await at_press(loopback, case, kind, BEN)
        if kind in {"strike", "warn", "block"}:
            dialog = await button.dialog()
            seen.append(dialog.form)
            button = await loopback.submit(dialog, {"reason": ""})
        seen.append(await button.until(answered))

    await use("desk", channel=MOD_LOG)
    await use("policy", role=MANAGERS, private=True, review=True)
    await use("policy", channel=GALLERY, role=MANAGERS)
    await use("limits", count=2, daily=3, size="64x64", models="doodle", loras="none")
    await use("limits", take_back="count")
    await refused("limits", models="cat")
    await refused("policy", use=False)
    await refused("policy", channel=GALLERY, adult=True)
    await refused("purge", hours=1)
    await use("desk")
    await refused("desk", take_back=True)
    await use("filter add", term="crow")
    await use("filter test", text="a crow")
    await use("filter test", text="a hen")
    await use("filter list")
    await refused("filter remove", term="gull")
    await use("pause", reason="")
    await use("resume")
    await use("keep", days=3)
    await use("keep", take_back=True)
    await use("unblock", person=CLEO)
    seen.append(await whispered(await loopback.slash("imagine", {"prompt": "crow"}, user_id=BEN)))
    used = await loopback.use_on_message(int(card["id"]), "Report", user_id=BEN)
    dialog = await used.dialog()
    seen.append(dialog.form)
    seen.append(await (await loopback.submit(dialog, {"reason": ""})).until(answered))
    for kind in ("veil", "approve", "warn", "strike"):
        await decided(kind, "🚩")
    seen += loopback.history(MOD_LOG)
    await use("audit")
    await use("export")
    await use("purge", hours=1, person=CLEO)


def texts_in(shown: object) -> Iterator[str]:
    """All that is read of something, but what was typed in before."""
    if isinstance(shown, list):
        for one in shown:
            yield from texts_in(one)
    if isinstance(shown, dict):
        yield from (shown[name] for name in READ if shown.get(name))
        for name in ("components", "component", "items", "options"):
            yield from texts_in(shown.get(name))


async def read_in(
    locale: str, languages: Languages, loopback: LoopbackDiscord, run_bot: RunBot
) -> list[str]:
    speaks(loopback, BEN, locale)
    set_up(loopback)
    loopback.world.preferred_locale = locale
    loopback.world.people[BEN].role_ids = (PAINTERS, MANAGERS)
    gate = Gate()
    async with run_bot(lambda: FakePipeline(SIZES, gate=gate), languages=languages) as bot:
        return list(texts_in(await visit(loopback, bot, gate)))


async def test_nothing_that_is_read_stays_english(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """But what people typed, in code, and names."""
    texts = await read_in("de", FOREIGN.languages, loopback, run_bot)
    left = []
    for text in re.sub(r"```.*?```", "", "\n".join(texts), flags=re.DOTALL).splitlines():
        beside = re.sub(_NAMES, "", beside_words(text))
        if re.search(r"[A-Za-z]{2}", beside):
            left.append(text)
    assert left == []
    assert sum(OPEN in text for text in texts) > 100


@pytest.mark.parametrize("locale", ["en-US", *LOCALES])
async def test_all_that_is_read_fits(
    loopback: LoopbackDiscord, run_bot: RunBot, locale: str
) -> None:
    """The stand-in refuses what is too long for Discord; what is ours is not cut to fit, either."""
    texts = await read_in(locale, ENGLISH.languages, loopback, run_bot)
    assert not [one for one in texts if one.endswith("…")]


def names_and_descriptions(node: Json) -> Iterator[tuple[str, Json, Json]]:
    """What a command says, what it stands in, and what it is in other languages."""
    for name in ("name", "description"):
        if node.get(name):
            yield node[name], node, node.get(f"{name}_localizations") or {}
    for inside in ("options", "choices"):
        for child in node.get(inside, []):
            yield from names_and_descriptions(child)


async def test_all_that_is_said_of_commands_fits(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """Again the stand-in refuses what does not: here, that nothing was cut to fit."""
    async with run_bot():
        said = [one for command in loopback.commands() for one in names_and_descriptions(command)]
    assert len(said) > 100
    for text, _, translated in said:
        assert not [one for one in (text, *translated.values()) if one.endswith("…")]


@pytest.mark.parametrize("voice", EVERY_VOICE, ids=lambda one: one.locale)
def test_the_longest_name_of_a_sampler_fits_into_its_description(voice: Voice) -> None:
    nobody: Any = None
    longest = max(SAMPLERS, key=lambda name: len(SAMPLERS[name]))
    command = ImagineCommand(nobody, nobody, nobody, Usual(sampler=longest)).build(SIZES)
    (said,) = [one.description for one in command.parameters if one.name == "sampler"]
    assert SAMPLERS[longest] in said
    assert len(voice.say(said)) <= 100


async def test_commands_are_told_in_all_languages_and_told_anew_in_a_new_one(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    nothing = languages_of("ja", {})
    puts = count(loopback, "PUT", "/**")
    for languages, told in ((nothing, 1), (GERMAN, 2), (GERMAN, 2)):
        async with run_bot(languages=languages):
            await (await loopback.slash("imagine", {"prompt": "x"})).until(has_pictures)
        assert puts.fired == told
    commands = {one["name"]: one for one in loopback.commands()}
    imagine, settings = commands["imagine"], commands["settings"]
    assert imagine["description_localizations"] == {"de": "Zeichnet, was du beschreibst"}
    assert imagine["options"][0]["description_localizations"] == {"de": "Was zu sehen sein soll"}
    assert settings["options"][0]["choices"][0]["name_localizations"] == {"de": "meins"}
    assert commands["Recipe"]["name_localizations"] == {"de": "Rezept"}
    # What is typed is the same everywhere.
    for command in commands.values():
        for node in [command, *command.get("options", [])]:
            assert not node.get("name_localizations") or command["type"] == MESSAGE_MENU


async def told(
    languages: Languages, text: str, *, place: TranslationContextLocation
) -> dict[str, str]:
    """What Discord is told of a text, by the language."""
    translator = CommandTranslator(languages)
    context = Mock(location=place)
    found = {one: await translator.translate(locale_str(text), one, context) for one in Locale}
    return {one.value: said for one, said in found.items() if said is not None}


async def test_who_reads_a_neighbours_language_is_told_in_it() -> None:
    languages = languages_of("es-ES", {("mine",): ("mío",)})
    place = TranslationContextLocation.choice_name
    assert await told(languages, say("mine"), place=place) == {"es-ES": "mío", "es-419": "mío"}
    assert await told(languages, say("nobody translated this"), place=place) == {}
    assert await told(languages, "mine", place=place) == {}  # a name, not a sentence


async def test_a_translation_that_is_too_long_for_a_menu_is_cut() -> None:
    languages = languages_of("de", {("Recipe",): ("Kochrezept" * 9,)})
    place = TranslationContextLocation.command_name
    text = (await told(languages, say("Recipe"), place=place))["de"]
    assert (len(text), text[:10], text[-1]) == (32, "Kochrezept", "…")


async def test_a_card_stays_in_the_language_of_the_one_who_asked(
    loopback: LoopbackDiscord, run_bot: RunBot
) -> None:
    """Also after a restart, and whoever presses on it."""
    speaks(loopback, BEN, "de")
    gate = Gate()
    async with run_bot(
        lambda: FakePipeline(SIZES, gate=gate), config=make_config(grace_s=0), languages=GERMAN
    ) as bot:
        asked = await loopback.slash("imagine", {"prompt": "a fox", "tell_me": True}, user_id=BEN)
        message = await asked.until(says("Schritt 0 von 4"))
        assert [one["label"] for one in pressable(message)] == ["Abbrechen"]
        bot.stop.set()
        await asked.until(says("Der Bot startet neu."))
        gate.open()
    async with run_bot(languages=GERMAN) as bot:
        shown = await asked.until(has_pictures)
        await all_delivered(bot, 1)
        assert "Deine Bilder sind da." in (await mention(loopback))["content"]
        by_others = await press(loopback, shown, id_of(shown, "blur"), user_id=ADA)
        blurred = await by_others.until(offers("unblur"))
        for message in (shown, blurred):
            assert "4 Schritte" in text_of(message)
            assert "Auftrag" in text_of(message)
            assert gallery(message)[0]["description"] == "Bild 1 von 4: a fox"
        deleted = await press(loopback, shown, id_of(shown, "delete"))
        assert "Auftrag" in text_of(await deleted.until(says("Gelöscht")))


@pytest.mark.parametrize(
    ("locale", "words"),
    [
        ("de", "Das kann nur, wer es wollte."),
        ("en-GB", "Only the one who asked for this, or a moderator, can do that."),
        ("tlh", "Only the one who asked for this, or a moderator, can do that."),
    ],
)
async def test_who_presses_is_answered_in_their_own_language(
    loopback: LoopbackDiscord, run_bot: RunBot, locale: str, words: str
) -> None:
    """In English where nobody translated theirs, or Discord has made a new one up."""
    speaks(loopback, BEN, "de" if locale != "de" else "en-US")
    speaks(loopback, CLEO, locale)
    async with run_bot(languages=GERMAN) as bot:
        asked = await loopback.slash("imagine", {"prompt": "a fox"}, user_id=BEN)
        shown = await asked.until(has_pictures)
        await all_delivered(bot, 1)
        pressed = await press(loopback, shown, id_of(shown, "delete"), user_id=CLEO)
        assert words in text_of(await whispered(pressed))
        recipe = await press(loopback, shown, id_of(shown, "recipe"), user_id=CLEO)
        steps = "4 Schritte" if locale == "de" else "4 steps"
        assert steps in text_of(await recipe.until(answered))
        (job,) = [record.job for record in await bot.app.ledger.find()]
        assert job.person.locale == ("en-US" if locale == "de" else "de")
