"""The log as the classic gateway's SQL knows it: views in schema llm_logs, rebuilt from the tree.

`calls` is what the others are made of, and is granted to no role. None is a security barrier: a
barrier would rebuild every request before a LIMIT counts, and no view hides rows from a role that
may read it. JSON is put together as text and cast once. U+0000, which PostgreSQL's json refuses to
read, is shown as U+FFFD, and the object says so: "_replaced": true. A file's name, its sha256,
stands in its place.

A later migration that changes a view does so by CREATE OR REPLACE: DROP would take the report
roles' grants with it.
"""

from django.core.management import CommandError
from django.db import migrations

IN_THE_WAY = """This database holds a classic gateway's own tables in schema llm_logs, \
where this one puts its views. Use another database, or:
    ALTER SCHEMA llm_logs RENAME TO classic_logs;
and afterwards: manage.py import_classic postgresql://… --schema classic_logs"""


def refuse_classic_tables(apps, schema_editor):
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT FROM pg_class "
            "WHERE relnamespace = to_regnamespace('llm_logs') AND relkind IN ('r', 'p')"
        )
        if cursor.fetchone() is not None:
            raise CommandError(IN_THE_WAY)


FUNCTIONS = r"""
CREATE SCHEMA IF NOT EXISTS llm_logs;

-- JSON text with \ufffd for \u0000. (A backslash before \u0000 may itself be behind a backslash:
-- then the six characters are the text.)
-- Nothing of ours writes U+FFFD as an escape: wherever one stands, a character was replaced.
CREATE FUNCTION llm_logs.plain(json_text text) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN strpos(json_text, '\u0000') > 0
    THEN regexp_replace(json_text, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g')
    ELSE json_text END;

-- An object's key and its colon; one that had a character replaced still says so.
CREATE FUNCTION llm_logs.key(name text) RETURNS text STABLE PARALLEL SAFE
RETURN replace(to_json(name)::text, U&'\fffd', '\ufffd') || ':';

-- JSON with its files' names in their places (conversations.record.attachments); objects that only
-- look like a file of ours as they were sent. Deeper than any request may nest, they stay as kept.
CREATE FUNCTION llm_logs.named(value json, depth int)
RETURNS text STABLE PARALLEL SAFE LANGUAGE plpgsql AS $$
DECLARE
    inside json;
BEGIN
    IF strpos(value::text, '"$attachment"') = 0
        OR json_typeof(value) NOT IN ('object', 'array') OR depth > 66
    THEN
        RETURN value::text;
    END IF;
    IF json_typeof(value) = 'array' THEN
        RETURN '[' || (SELECT string_agg(llm_logs.named(item, depth + 1), ',' ORDER BY n)
            FROM json_array_elements(value) WITH ORDINALITY AS e (item, n)) || ']';
    END IF;
    inside := value -> '$attachment';
    IF json_typeof(inside) = 'array' THEN
        RETURN to_json((inside ->> 1) || '[file with sha256 ' || (inside ->> 0) || ']')::text;
    END IF;
    RETURN '{' || coalesce((
        SELECT string_agg(llm_logs.key(name) || llm_logs.named(item, depth + 1), ',')
        FROM json_each(CASE json_typeof(inside) WHEN 'object' THEN inside ELSE value END)
            AS e (name, item)), '') || '}';
END $$;

-- What the views show of JSON text that we keep.
CREATE FUNCTION llm_logs.shown(json_text text) RETURNS text STABLE PARALLEL SAFE
RETURN CASE WHEN strpos(json_text, '"$attachment"') > 0
    THEN llm_logs.named(llm_logs.plain(json_text)::json, 0)
    ELSE llm_logs.plain(json_text) END;

-- As json; an object from which a character went says so.
CREATE FUNCTION llm_logs.as_json(json_text text) RETURNS json STABLE PARALLEL SAFE
RETURN CASE WHEN json_text LIKE '{%' AND strpos(json_text, '\ufffd') > 0
        AND json_text ~ '(?<!\\)(?:\\\\)*\\ufffd'
    THEN left(json_text, -1) || ',"_replaced":true}' ELSE json_text END::json;

-- The fields of a JSON object's text, without the braces; null where it has none.
CREATE FUNCTION llm_logs.fields(json_text text) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN nullif(substr(json_text, 2, length(json_text) - 2), '');

-- A message as it was sent; `echoed` is the relayed reply that it repeats, without the space that
-- Python's str.strip() takes.
CREATE FUNCTION llm_logs.message_fields(role text, content text, raw text, echoed text)
RETURNS text STABLE PARALLEL SAFE
RETURN concat_ws(',', '"role":' || to_json(nullif(role, ''))::text,
    '"content":' || to_json(coalesce(btrim(echoed,
        U&' \0009\000a\000b\000c\000d\001c\001d\001e\001f\0085\00a0\1680\2000\2001\2002\2003\2004'
        '\2005\2006\2007\2008\2009\200a'
        '\2028\2029\202f\205f\3000'), content))::text,
    llm_logs.fields(llm_logs.shown(raw)));

-- What a content says: a text, or the texts of its parts.
CREATE FUNCTION llm_logs.words(content json) RETURNS text IMMUTABLE PARALLEL SAFE
RETURN CASE json_typeof(content)
    WHEN 'string' THEN content #>> '{}'
    WHEN 'array' THEN (
        SELECT string_agg(part ->> 'text', E'\n' ORDER BY n)
        FROM json_array_elements(content) WITH ORDINALITY AS parts (part, n)
        WHERE json_typeof(part) = 'object' AND json_typeof(part -> 'text') = 'string') END;
"""

VIEWS = r"""
CREATE VIEW llm_logs.calls AS
SELECT
    coalesce(s.classic_id, s.id) AS id,
    u.username::text AS user_name,
    CASE WHEN k.classic IS NULL THEN nullif(u.job_title, '')
        ELSE k.classic ->> 'title' END::text AS title,
    s.closed AT TIME ZONE 'UTC' AS response_time,
    s.kind, s.status, s.model, s.served_model, s.prompt_tokens, s.completion_tokens,
    s.prompt_tokens::bigint + coalesce(s.completion_tokens, 0) AS total_tokens,
    s.estimated, s.cost,
    s.status = 'ok' OR s.classic_id IS NOT NULL AS answered,

    -- An imported row has its own root, title and visibility; unless its conversation was renamed
    -- or removed here since, that is: unless it is not as its newest imported row left it.
    CASE WHEN k.classic -> 'root_gpt_id' IS NOT NULL THEN k.classic ->> 'root_gpt_id'
        WHEN s.kind <> 'title' THEN coalesce(c.classic_root, c.id::text) END AS root_gpt_id,
    CASE WHEN s.kind = 'title' THEN 'summarizer'
        WHEN k.classic IS NULL THEN c.title
        WHEN c.id IS NULL OR k.classic ->> 'convo_title' = c.title OR c.title = (
            SELECT coalesce(n.classic ->> 'conversation_title', n.classic ->> 'convo_title')
            FROM (
                SELECT llm_logs.plain(n.classic)::json AS classic FROM conversations_snapshot n
                WHERE n.conversation_id = c.id AND n.classic IS NOT NULL ORDER BY n.id DESC LIMIT 1
            ) n
        ) THEN k.classic ->> 'convo_title'
        ELSE c.title END AS convo_title,
    CASE WHEN k.classic IS NULL THEN s.kind <> 'title' AND coalesce(c.shown, false)
        WHEN c.shown OR c.id IS NULL OR (k.classic ->> 'convo_show')::boolean IS NOT TRUE
            THEN (k.classic ->> 'convo_show')::boolean
        ELSE NOT (
            SELECT coalesce((n.classic ->> 'convo_show')::boolean, true)
            FROM (
                SELECT llm_logs.plain(n.classic)::json AS classic FROM conversations_snapshot n
                WHERE n.conversation_id = c.id AND n.classic IS NOT NULL ORDER BY n.id DESC LIMIT 1
            ) n) END AS convo_show,
    CASE WHEN k.classic -> 'orig_summarized_id' IS NOT NULL THEN k.classic ->> 'orig_summarized_id'
        WHEN s.kind = 'metadata' THEN coalesce(c.classic_root, c.id::text)
        END AS orig_summarized_id,

    CASE WHEN k.classic -> 'usage_info' IS NOT NULL
            THEN nullif((k.classic -> 'usage_info')::text, 'null')::json
        WHEN s.prompt_tokens IS NOT NULL THEN json_build_object(
            'total_tokens', s.prompt_tokens::bigint + coalesce(s.completion_tokens, 0),
            'prompt_tokens', s.prompt_tokens,
            'completion_tokens', coalesce(s.completion_tokens, 0)) END AS usage_info,
    CASE WHEN k.classic -> 'usage_cost' IS NOT NULL THEN (k.classic ->> 'usage_cost')::real
        ELSE s.cost::real END AS usage_cost,

    CASE WHEN k.classic -> 'request' IS NOT NULL
            THEN llm_logs.as_json(llm_logs.shown(nullif((k.classic -> 'request')::text, 'null')))
        ELSE llm_logs.as_json('{' || concat_ws(',',
            llm_logs.fields(llm_logs.shown(s.params)),
            CASE WHEN s.kind = 'chat' AND (s.head_id IS NOT NULL OR s.preamble_id IS NOT NULL)
                THEN '"messages":[' || coalesce((
                WITH RECURSIVE walk AS (
                    SELECT m.id, m.parent_id, m.depth, m.role, m.text, m.raw, m.echo_of_id,
                        m.id = s.head_id AS turn
                    FROM conversations_message m WHERE m.id IN (s.preamble_id, s.head_id)
                    UNION ALL
                    SELECT m.id, m.parent_id, m.depth, m.role, m.text, m.raw, m.echo_of_id,
                        walk.turn
                    FROM walk JOIN conversations_message m ON m.id = walk.parent_id)
                SELECT string_agg('{' ||
                    llm_logs.message_fields(walk.role, walk.text, walk.raw, echoed.text)
                    || '}', ',' ORDER BY walk.turn, walk.depth)
                FROM walk LEFT JOIN conversations_message echoed ON echoed.id = walk.echo_of_id
                ), '') || ']' END,
            llm_logs.fields(llm_logs.shown((k.classic -> 'fields')::text))) || '}') END AS request,

    CASE WHEN k.classic -> 'response' IS NOT NULL
            THEN llm_logs.as_json(llm_logs.shown(nullif((k.classic -> 'response')::text, 'null')))
        WHEN s.response = '' THEN NULL
        WHEN s.conversation_id IS NULL OR strpos(s.response, '"$message"') = 0
                OR s.response LIKE '{"$attachment"%' THEN
            llm_logs.as_json(llm_logs.shown(s.response))
        ELSE llm_logs.as_json('{' || (
            SELECT string_agg(llm_logs.key(name) || CASE
                WHEN name = 'choices' AND json_typeof(value) = 'array' THEN '[' || coalesce((
                SELECT string_agg(CASE WHEN m.id IS NULL THEN llm_logs.shown(choice::text)
                    ELSE '{' ||
                    (SELECT string_agg(llm_logs.key(part) || CASE
                        WHEN part <> 'message' THEN llm_logs.shown(said::text)
                        ELSE '{' || concat_ws(',',
                        llm_logs.message_fields(m.role, m.text, m.raw, NULL),
                        (SELECT string_agg(llm_logs.key(extra) || llm_logs.shown(e::text), ',')
                         FROM json_each(said) AS extras (extra, e) WHERE extra <> '$message')
                    ) || '}' END, ',') FROM json_each(choice) AS parts (part, said)) || '}' END,
                    ',' ORDER BY n)
                FROM json_array_elements(value) WITH ORDINALITY AS choices (choice, n)
                LEFT JOIN LATERAL (
                    SELECT m.* FROM conversations_message m
                    WHERE m.conversation_id = s.conversation_id AND m.id = CASE
                        WHEN json_typeof(choice) = 'object'
                            AND json_typeof(choice -> 'message') = 'object'
                            AND choice -> 'message' ->> '$message'
                                ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
                        THEN (choice -> 'message' ->> '$message')::uuid END
                    -- by its id: joined plainly, every message of the conversation is read
                    LIMIT 1) m ON true
            ), '') || ']' ELSE llm_logs.shown(value::text) END, ',')
            FROM json_each(llm_logs.plain(s.response)::json) AS response (name, value)
        ) || '}') END AS response
FROM conversations_snapshot s
JOIN conversations_user u ON u.id = s.owner_id
LEFT JOIN conversations_conversation c ON c.id = s.conversation_id
CROSS JOIN LATERAL (SELECT llm_logs.plain(s.classic)::json AS classic) k
WHERE s.closed IS NOT NULL;

CREATE VIEW llm_logs.chatgpt_logs AS
SELECT id, request, usage_info, user_name, title, response_time, response, convo_title, convo_show,
    root_gpt_id
FROM llm_logs.calls WHERE kind IN ('chat', 'title') AND answered;

CREATE VIEW llm_logs.image_logs AS
SELECT id, request, response, usage_cost, user_name, title, response_time
FROM llm_logs.calls WHERE kind = 'image' AND answered;

CREATE VIEW llm_logs.meta_summarizer_log AS
SELECT id, request, response, usage_info, user_name, title, response_time, orig_summarized_id
FROM llm_logs.calls WHERE kind = 'metadata' AND answered;

CREATE VIEW llm_logs.usage AS
SELECT id, user_name, title, response_time, root_gpt_id, kind, status, model, served_model,
    prompt_tokens, completion_tokens, total_tokens, estimated, cost
FROM llm_logs.calls;

CREATE VIEW llm_logs.messages AS
SELECT
    m.id,
    coalesce(c.classic_root, c.id::text) AS root_gpt_id,
    coalesce(s.classic_id, s.id) AS call_id,
    u.username::text AS user_name,
    s.opened AT TIME ZONE 'UTC' AS opened,
    m.depth,
    m.role,
    m.origin,
    coalesce(m.text, llm_logs.words(llm_logs.shown(m.raw)::json -> 'content')) AS text,
    llm_logs.as_json(llm_logs.shown(m.raw)) AS more
FROM conversations_message m
JOIN conversations_conversation c ON c.id = m.conversation_id
JOIN conversations_user u ON u.id = c.owner_id
JOIN conversations_snapshot s ON s.id = m.snapshot_id
WHERE m.echo_of_id IS NULL;

COMMENT ON VIEW llm_logs.chatgpt_logs IS
    'Answered chat calls, and the calls that titled a conversation (convo_title summarizer). '
    'Times are UTC.';
COMMENT ON VIEW llm_logs.image_logs IS 'Answered image calls. usage_cost is in US dollars.';
COMMENT ON VIEW llm_logs.meta_summarizer_log IS
    'Answered calls that made metadata of a conversation.';
COMMENT ON VIEW llm_logs.usage IS
    'Every call that ended, without a word of it. title is the job title; cost is in US dollars, '
    'null where no price is known.';
COMMENT ON VIEW llm_logs.messages IS
    'Each message once, whatever number of calls carried it; call_id is the one that brought it. '
    'more: its fields that are not role or text.';
"""

REMOVE = """
DROP VIEW llm_logs.messages, llm_logs.usage, llm_logs.meta_summarizer_log, llm_logs.image_logs,
    llm_logs.chatgpt_logs, llm_logs.calls;
DROP FUNCTION llm_logs.words, llm_logs.message_fields, llm_logs.fields, llm_logs.as_json,
    llm_logs.shown, llm_logs.named, llm_logs.key, llm_logs.plain;
DROP SCHEMA llm_logs;
"""


class Migration(migrations.Migration):
    dependencies = [("conversations", "0004_classic_ids")]
    operations = [
        migrations.RunPython(refuse_classic_tables, migrations.RunPython.noop),
        migrations.RunSQL(FUNCTIONS + VIEWS, REMOVE),
    ]
