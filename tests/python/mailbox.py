"""A mail server on a free port of this machine: prints its port, then each mail as a line of JSON.

The first argument is how many mails it answers with a temporary failure before it takes any.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Mailbox:
    def __init__(self, refusals):
        self.refusals = refusals

    async def handle_DATA(self, server, session, envelope):
        if self.refusals > 0:
            self.refusals -= 1
            return "451 try again later"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
        line = {
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "id": message["message-id"],
            "text": parts.get("text/plain", ""),
            "html": parts.get("text/html", ""),
        }
        print(json.dumps(line), flush=True)
        return "250 kept"


async def serve():
    mailbox = Mailbox(int(sys.argv[1]))
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
