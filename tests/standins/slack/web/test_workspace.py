"""What people do on the page of Slack, and what they see, with a small app behind it."""

import pytest
from playwright.async_api import Browser, FilePayload, Locator, Page, expect

from tests.standins.discord.browser import DESKTOP, PHONE, Scheme, Size, opened
from tests.standins.discord.web.test_reach import CHECKS
from tests.standins.slack.app import (
    ADA,
    BEN,
    BOT,
    CLEO,
    GALLERY,
    IMAGINE,
    PNG,
    plain,
    section,
)
from tests.standins.slack.app import button as plain_button
from tests.standins.slack.web.page_app import Workspace

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVIL = "<img src=x onerror=alert(1)> & <b>bold</b> <!channel>"


async def typed(page: Page, text: str, field: str = "#text") -> None:
    await page.locator(field).fill(text)
    await page.keyboard.press("Enter")


def button(scope: Page | Locator, name: str) -> Locator:
    return scope.get_by_role("button", name=name, exact=True)


async def form_of(page: Page) -> Locator:
    await typed(page, "/ask")
    form = page.get_by_role("dialog", name="A title")
    await expect(form).to_be_visible()
    return form


async def test_a_command_is_suggested_used_and_answered(page: Page) -> None:
    await page.locator("#text").focus()
    await page.keyboard.type("/s")
    await expect(page.locator("#text-menu [role=option]")).to_have_count(2)
    await page.keyboard.press("Enter")
    await page.keyboard.type("*hello* _you_")
    await page.keyboard.press("Enter")
    message = page.locator(".message")
    await expect(message.locator("strong")).to_have_text("hello")
    await expect(message.locator("em")).to_have_text("you")
    await button(message, "Go").press("Enter")
    await expect(message).to_contain_text("gone on")
    await expect(button(message, "Go")).to_be_focused()
    await typed(page, "/nothing at all")
    await expect(page.locator("#text-problem")).to_contain_text("is not a valid command")


async def test_what_nobody_answers_is_said(browser: Browser, workspace: Workspace) -> None:
    async with opened(browser, workspace.slack.base_url, may_log="422") as page:
        await typed(page, "/say x")
        await button(page, "Ignored").press("Enter")
        await workspace.heard.get()
        workspace.clock.advance(3.1)
        await expect(page.locator(".message .failed")).to_contain_text("did not respond")
        await typed(page, "/silent")
        await workspace.heard.get()
        workspace.clock.advance(3.1)
        await expect(page.locator("#text-problem")).to_contain_text("/silent failed")
        await expect(page.locator("#text")).to_have_value("/silent")


async def test_what_people_type_is_text(page: Page, workspace: Workspace) -> None:
    await typed(page, EVIL)
    first = page.locator(".message").first
    await expect(first.locator(".content")).to_have_text(EVIL)
    await typed(page, f"/say {EVIL}")
    await expect(page.locator(".message .content").nth(1)).to_have_text(EVIL)
    await workspace.client.chat_postMessage(
        channel=IMAGINE,
        text="x",
        blocks=[
            {"type": "header", "text": {"type": "plain_text", "text": EVIL}},
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_preformatted",
                        "elements": [{"type": "text", "text": EVIL}],
                    }
                ],
            },
            {"type": "section", "text": {"type": "plain_text", "text": EVIL}},
            section("<javascript:alert(1)|here> <https://a.example/?a=1&amp;b|there>"),
        ],
    )
    last = page.locator(".message").last
    for shown in ("h3", "pre"):
        await expect(last.locator(shown)).to_have_text(EVIL)
    await expect(last.locator(".content").nth(1)).to_have_text(EVIL)
    await expect(last.get_by_role("link")).to_have_text(["there"])
    await expect(last.get_by_role("link")).to_have_attribute("href", "https://a.example/?a=1&b")
    await expect(page.locator(".messages img")).to_have_count(0)


async def test_mentions_reach_the_app_and_whom_they_name(
    browser: Browser, page: Page, workspace: Workspace
) -> None:
    async with opened(browser, f"{workspace.slack.base_url}/?as={BEN}") as bens:
        await page.locator("#text").focus()
        await page.keyboard.type("hello @be")
        await expect(page.locator("#text-menu [role=option]")).to_have_text(["@benBen Brown"])
        await page.keyboard.press("Enter")
        await page.keyboard.type("and @imagine in #gallery")
        await page.keyboard.press("Enter")
        assert await workspace.heard.get() == f"hello <@{BEN}> and <@{BOT}> in <#{GALLERY}|gallery>"
        await expect(bens.locator(".message.for-me")).to_have_count(1)
        await expect(bens.locator(".mention")).to_have_text(["@Ben Brown", "@Imagine", "#gallery"])
        await button(bens, "1 reply").press("Enter")
        thread = bens.get_by_role("complementary", name="Thread")
        await expect(thread.locator(".message").last).to_contain_text("here")
        await typed(bens, "/say x", "#reply")
        await expect(thread.get_by_role("alert")).to_contain_text("does not work in a thread")
        await typed(bens, "thank you", "#reply")
        await expect(button(page, "2 replies")).to_be_visible()
        await bens.keyboard.press("Escape")
        await expect(thread).to_be_hidden()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_cards_beside_each_other_are_scrolled_and_pressed(
    browser: Browser, workspace: Workspace, scheme: Scheme, size: Size
) -> None:
    cards = [
        {
            "type": "card",
            "title": {"type": "mrkdwn", "text": f"*{number}* {EVIL}"},
            "body": {"type": "plain_text", "text": EVIL},
            "actions": [plain_button("go", text=plain(f"Go {number}"))],
        }
        for number in range(1, 6)
    ]
    await workspace.client.chat_postMessage(
        channel=IMAGINE, text="x", blocks=[section(), {"type": "carousel", "elements": cards}]
    )
    async with opened(browser, workspace.slack.base_url, scheme=scheme, size=size) as page:
        shown = page.locator(".carousel li")
        await expect(shown).to_have_count(5)
        await expect(shown.locator("img, b")).to_have_count(0)
        await expect(shown.last).not_to_be_in_viewport()
        await expect(button(page, "Earlier cards")).to_be_hidden()
        assert await page.evaluate(CHECKS) == []
        await button(page, "Later cards").click()
        await expect(button(page, "Earlier cards")).to_be_visible()
        await page.locator(".cards").evaluate("row => row.scrollTo(row.scrollWidth, 0)")
        await expect(shown.last).to_be_in_viewport(ratio=0.99)
        await expect(button(page, "Earlier cards")).to_be_focused()
        assert await page.evaluate(CHECKS) == []
        await button(page, "Go 5").click()
        await expect(page.locator(".message")).to_contain_text("gone on")


async def test_a_form_is_filled_in(page: Page, workspace: Workspace) -> None:
    form = await form_of(page)
    prompt = form.get_by_label("Words")
    await expect(prompt).to_be_focused()
    await button(form, "Send").press("Enter")
    await expect(form.get_by_role("alert").filter(has_text="required")).to_have_count(2)
    await prompt.fill("wrong")
    await form.get_by_label("Size").select_option("large")
    await button(form, "Send").press("Enter")
    await expect(form.get_by_role("alert").filter(has_text="That is wrong.")).to_be_visible()
    await expect(prompt).to_be_focused()
    await prompt.fill("a fox")
    await form.get_by_role("group", name="Shape").get_by_label("small").check()
    people = form.locator("summary")
    await people.press("Enter")
    await form.get_by_label("Cleo Clark").check()
    await people.press("Escape")
    await form.get_by_role("group", name="Extras").get_by_label("large").check()
    await form.get_by_label("Day").fill("2026-07-31")
    await expect(form.get_by_label("Where").locator("option:checked")).to_have_text("#imagine")
    file = FilePayload(name="a.png", mimeType="image/png", buffer=PNG)
    await form.get_by_label("Files", exact=True).set_input_files([file])
    await button(form, "Send").press("Enter")
    await expect(form).to_be_hidden()
    values = await workspace.heard.get()
    assert values["prompt"]["prompt"]["value"] == "a fox"
    assert values["static_select"]["static_select"]["selected_option"]["value"] == "large"
    assert values["radio_buttons"]["radio_buttons"]["selected_option"]["value"] == "small"
    assert values["multi_users_select"]["multi_users_select"]["selected_users"] == [CLEO]
    assert [one["value"] for one in values["checkboxes"]["checkboxes"]["selected_options"]] == [
        "large"
    ]
    assert values["datepicker"]["datepicker"]["selected_date"] == "2026-07-31"
    where = values["conversations_select"]["conversations_select"]
    assert where["selected_conversation"] == IMAGINE
    (sent,) = values["file_input"]["file_input"]["files"]
    # It is given to the app, and shared with nobody.
    told = await workspace.client.files_info(file=sent["id"])
    assert told["file"]["name"] == "a.png"
    assert workspace.slack.file_bytes(sent["id"]) == PNG


async def test_a_form_changes_and_is_left(page: Page, workspace: Workspace) -> None:
    form = await form_of(page)
    await button(form, "Go").press("Enter")
    await expect(form).to_contain_text("pressed inside")
    await page.keyboard.press("Escape")
    await expect(form).to_be_hidden()
    assert await workspace.heard.get() == "closed"
    assert workspace.slack.view_of(ADA) is None
    await button(page, "Shortcuts").press("Enter")
    await page.get_by_role("menuitem", name="Ask").press("Enter")
    await expect(form).to_be_visible()
    await button(form, "Close").last.click()
    await expect(form).to_be_hidden()


async def test_shortcuts_files_and_deleting(page: Page, workspace: Workspace) -> None:
    files = page.locator("#text-files")
    await files.set_input_files(
        [
            FilePayload(name="a.png", mimeType="image/png", buffer=PNG),
            FilePayload(name="b.html", mimeType="text/html", buffer=b"<script>alert(1)</script>"),
        ]
    )
    await typed(page, "two files")
    message = page.locator(".message", has_text="two files")
    await expect(message.get_by_role("img", name="a.png")).to_be_visible()
    link = message.get_by_role("link", name="b.html")
    response = await page.request.get(
        f"{workspace.slack.base_url}{await link.get_attribute('href')}"
    )
    assert response.headers["content-disposition"] == "attachment"
    assert response.headers["content-type"] == "application/octet-stream"
    await button(message, "More actions").press("Enter")
    await page.get_by_role("menuitem", name="Quote").press("Enter")
    private = page.locator(".message.private")
    await expect(private).to_contain_text("you chose: two files")
    await button(private, "Dismiss message").press("Enter")
    await expect(private).to_have_count(0)
    await button(message, "Delete message").press("Enter")
    await button(page, "Delete").press("Enter")
    await expect(page.locator(".message")).to_have_count(0)


async def test_each_person_sees_their_own_channels(page: Page, workspace: Workspace) -> None:
    rooms = page.locator("#rooms button")
    await expect(rooms).to_have_text(
        ["imagine", "gallery", "elsewhere", "private", "archived", "announcements", "mod-log"]
    )
    await page.locator("#rooms").get_by_role("button", name="archived").click()
    await expect(page.locator("#text")).to_be_disabled()
    await page.locator("#me").select_option("U0GUEST001")
    await expect(rooms).to_have_text(["imagine"])
    await expect(page.locator("h1")).to_have_text("imagine")
    await expect(page.locator("#me-duty")).to_have_text("You are (guest)")


async def test_the_home_tab_is_shown_and_pressed(page: Page, workspace: Workspace) -> None:
    await page.locator("#direct button").click()
    await button(page, "Home").press("Enter")
    home = page.get_by_role("region", name="Home tab")
    await expect(home.locator("strong")).to_have_text("home")
    await button(home, "Go").press("Enter")
    assert await workspace.heard.get() == "home"
    await button(page, "Messages").press("Enter")
    await expect(home).to_be_hidden()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_everybody_can_read_and_reach_everything(
    browser: Browser, workspace: Workspace, scheme: Scheme, size: Size
) -> None:
    slack = workspace.slack
    async with opened(browser, slack.base_url, scheme=scheme, size=size) as page:
        assert await page.evaluate(CHECKS) == []
        await page.locator("#text").fill("/")
        assert await page.evaluate(CHECKS) == []
        await typed(page, f"/say `code` *bold* <@{ADA}> {'long_word' * 30}")
        await slack.say(f"<@{ADA}> look\n&gt; quoted", user=BEN, channel=IMAGINE)
        await expect(page.locator(".message.for-me")).to_have_count(1)
        assert await page.evaluate(CHECKS) == []
        await button(page.locator(".message.for-me"), "Reply in thread").click(force=True)
        await expect(page.locator("#thread")).to_be_visible()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        form = await form_of(page)
        await button(form, "Send").click()
        assert await page.evaluate(CHECKS) == []
        await page.keyboard.press("Escape")
        if size == PHONE:
            await page.get_by_role("button", name="Channels").click()
            assert await page.evaluate(CHECKS) == []
