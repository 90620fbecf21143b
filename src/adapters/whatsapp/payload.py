"""A message as the Cloud API takes it."""

from __future__ import annotations

from collections.abc import Mapping

from src.domain.messaging import Message, Template

DEFAULT_LANGUAGE = "en"


def payload(message: Message) -> dict[str, object]:
    """The JSON of one message; our id comes back in every report of it."""
    common = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": message.recipient,
        "biz_opaque_callback_data": str(message.message_id),
    }
    if message.sent_as == "template":
        return {**common, "type": "template", "template": _template(_template_of(message))}
    text = message.text or ""
    link = message.type == "link_notice"
    body = f"{text}\n{message.url}" if link else text
    return {**common, "type": "text", "text": {"preview_url": link, "body": body}}


def _template_of(message: Message) -> Template:
    """The message's own template, or the one for link notices: {{1}} is the text, {{2}} the link."""
    if message.template is not None:
        return message.template
    name, _, language = (message.link_template or "").partition(":")
    # WhatsApp refuses line breaks and runs of spaces in template variables.
    text = " ".join((message.text or "").split())
    return Template(name, text, language or DEFAULT_LANGUAGE, variables={"1": text, "2": message.url or ""})


def _template(template: Template) -> dict[str, object]:
    components: list[dict[str, object]] = []
    variables = template.variables or {}
    if variables:
        components.append({"type": "body", "parameters": _parameters(variables)})
    components += [
        {
            "type": "button",
            "sub_type": "quick_reply",
            "index": str(index),
            "parameters": [{"type": "payload", "payload": button_id}],
        }
        for index, (button_id, _) in enumerate(template.buttons)
    ]
    return {"name": template.name, "language": {"code": template.language}, "components": components}


def _parameters(variables: Mapping[str, str]) -> list[dict[str, str]]:
    if all(name.isdecimal() for name in variables):
        return [{"type": "text", "text": variables[name]} for name in sorted(variables, key=int)]
    return [{"type": "text", "parameter_name": name, "text": text} for name, text in variables.items()]
