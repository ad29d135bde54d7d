"""A mail server on a free port of this machine: prints its port, then each mail as a line of JSON.

The first argument is how many mails it answers with a temporary failure before it takes any. With a certificate and its key
as second and third it takes none but after STARTTLS.
"""

import asyncio
import email
import email.policy
import json
import ssl
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
            "encrypted": session.ssl is not None,
            "subject": message["subject"],
            "id": message["message-id"],
            "text": parts.get("text/plain", ""),
            "html": parts.get("text/html", ""),
        }
        print(json.dumps(line), flush=True)
        return "250 kept"


def protocol(mailbox):
    if len(sys.argv) < 4:
        return SMTP(mailbox)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    return SMTP(mailbox, require_starttls=True, tls_context=context)


async def serve():
    mailbox = Mailbox(int(sys.argv[1]))
    server = await asyncio.get_running_loop().create_server(lambda: protocol(mailbox), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(serve())
