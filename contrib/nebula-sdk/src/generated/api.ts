// Made by 'npm run generate' from the service's /openapi.json: do not change it here.
export interface paths {
    "/api/v1/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List stored events */
        get: operations["get_api_v1_events"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read one event */
        get: operations["get_api_v1_events_id"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Follow events as they are committed */
        get: operations["get_api_v1_events_live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/events/rate": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Events a minute */
        get: operations["get_api_v1_events_rate"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sync": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** How far the database is */
        get: operations["get_api_v1_sync"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/auth": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Ask for a challenge */
        get: operations["get_api_v1_auth"];
        put?: never;
        /** Post the signed challenge, get a token */
        post: operations["post_api_v1_auth"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List the caller's invoice links */
        get: operations["get_api_v1_invoice_links"];
        put?: never;
        /** Make an invoice link */
        post: operations["post_api_v1_invoice_links"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read an invoice link */
        get: operations["get_api_v1_invoice_links_slug"];
        put?: never;
        post?: never;
        /** Delete an invoice link */
        delete: operations["delete_api_v1_invoice_links_slug"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{id}/status": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        /** Cancel an invoice link, or say by which transaction it is being paid */
        patch: operations["patch_api_v1_invoice_links_id_status"];
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/transaction": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Build the transaction that pays a link */
        post: operations["post_api_v1_invoice_links_slug_transaction"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/submit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Submit the signed transaction that pays a link */
        post: operations["post_api_v1_invoice_links_slug_submit"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/qr.svg": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An invoice link as a QR code, SVG */
        get: operations["get_api_v1_invoice_links_slug_qr_svg"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/qr.png": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** An invoice link as a QR code, PNG */
        get: operations["get_api_v1_invoice_links_slug_qr_png"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/invoice.pdf": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The invoice of a link, PDF */
        get: operations["get_api_v1_invoice_links_slug_invoice_pdf"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/invoice-links/{slug}/live": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Follow what becomes of an invoice link */
        get: operations["get_api_v1_invoice_links_slug_live"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/streams": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List payment streams */
        get: operations["get_api_v1_streams"];
        put?: never;
        /** Build the transaction that creates a stream */
        post: operations["post_api_v1_streams"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/streams/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read one payment stream */
        get: operations["get_api_v1_streams_id"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit-log": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** List what happened to streams */
        get: operations["get_api_v1_audit_log"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit-log/{streamId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Read one stream's history */
        get: operations["get_api_v1_audit_log_streamId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit-log/chain/verify": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Check the chains against the stored events */
        get: operations["get_api_v1_audit_log_chain_verify"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/stats": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Totals by token and status */
        get: operations["get_api_v1_stats"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/search": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Search streams, transactions, contracts and links */
        get: operations["get_api_v1_search"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/yield/{streamId}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a stream's vault has earned for it */
        get: operations["get_api_v1_yield_streamId"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/yield/{streamId}/projection": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** What a stream's vault would earn in some days */
        get: operations["get_api_v1_yield_streamId_projection"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/streams/withdraw": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Build the transaction that withdraws from a stream */
        post: operations["post_api_v1_streams_withdraw"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/streams/cancel": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Build the transaction that cancels a stream */
        post: operations["post_api_v1_streams_cancel"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/transactions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Submit a signed transaction */
        post: operations["post_api_v1_transactions"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/transactions/{hash}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Tell what became of a transaction */
        get: operations["get_api_v1_transactions_hash"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description An event of a stream, and its place in the stream's chain. */
        AuditEntryModel: {
            /** @description the event's id */
            id: string;
            /** @description what the contract calls the event */
            eventType: string;
            /** @description null where it concerns all streams of a token */
            streamId: string | null;
            /** @description the contract that published it */
            contractId: string | null;
            txHash: string;
            eventIndex: number;
            ledger: number;
            /** @description RFC 3339, UTC */
            ledgerClosedAt: string;
            /** @description who paid or acted */
            sender?: string;
            /** @description who gets something by it */
            receiver?: string;
            /** @description what moves or is promised */
            amount?: string;
            /** @description every decoded field; integers as decimal strings */
            metadata: {
                [key: string]: unknown;
            };
            /** @description the same as ledgerClosedAt: the ledger is when it happened */
            createdAt: string;
            /** @description the chain it is linked in: the stream's id, or contract/token */
            chain: string;
            /** @description whether it is linked: its ledger is at or below the watermark */
            sealed: boolean;
            /** @description its link's hash, null until it is sealed */
            hash: string | null;
            /** @description the chain's revision in which it was first linked, or null */
            revision: number | null;
        };
        /** @description A cancellation by the caller. */
        Cancellation: {
            /** @description 'id' of the stream, or its bare 'streamId' where one contract is served */
            streamId: string;
        };
        /** @description An unsigned transaction that cancels. */
        CancellationModel: {
            transaction: components["schemas"]["UnsignedTransaction"];
        };
        /** @description The end of a stream's chain. */
        ChainModel: {
            /** @description entries that are sealed */
            links: number;
            /** @description SHA-256, hex; with no links the hash that the chain begins with */
            head: string;
            /** @description null with no links */
            lastEvent: string | null;
            /** @description how often it was linked anew */
            revision: number;
            /** @description heads that counted before, oldest first */
            replaced: components["schemas"]["RevisionModel"][];
        };
        /** @description A transaction to sign; it is never submitted. */
        ChallengeModel: {
            /** @description base64 of the envelope, signed by the service */
            transaction: string;
            network_passphrase: string;
        };
        /** @description Ledgers covered alike. */
        CoverageModel: {
            from: number;
            to: number;
            /** @enum {string} */
            evidence: "proven" | "scanned";
            source: string;
            /** @description how the node that made the ledgers was run, where that is told */
            flavour: string | null;
            /** @description null: of all contracts asked for */
            contracts: string[] | null;
        };
        /** @description An unsigned transaction that creates a stream. */
        CreationModel: {
            transaction: components["schemas"]["UnsignedTransaction"];
            stream: components["schemas"]["StreamPreview"];
        };
        /**
         * @description How a stream unlocks between start and end.
         * @enum {string}
         */
        Curve: "linear" | "exponential" | "steps";
        /** @description An event's values for reading; the mapping is documented. */
        Decoded: {
            topics: unknown[];
            value: unknown;
        };
        /** @description A stored event: the keys of ``getEvents``, and ours. */
        EventModel: {
            id: string;
            type: string;
            ledger: number;
            ledgerClosedAt: string;
            contractId: string | null;
            txHash: string;
            transactionIndex: number;
            operationIndex: number;
            eventIndex: number;
            topic: string[];
            value: string;
            /** @description null where a value cannot be decoded by this version */
            decoded: components["schemas"]["Decoded"] | null;
        };
        /** @description How many ledgers are covered, by how well that is known. */
        EvidenceModel: {
            provenLedgers: number;
            scannedLedgers: number;
        };
        /** @description Why a transaction failed. */
        FailureModel: {
            /** @description the network's own (txBAD_SEQ, INVOKE_HOST_FUNCTION_TRAPPED), or ours (expired) */
            code: string;
            detail: string;
        };
        /** @description Where a chain is broken. */
        FaultModel: {
            /** @description the stream's id, or contract/token */
            chain: string;
            /** @description null: the chain's end */
            eventId: string | null;
            reason: components["schemas"]["Reason"];
        };
        /** @description How far what is folded from events is. */
        FoldingModel: {
            name: string;
            /** @description commits up to this position are folded */
            position: number;
            /** @description commits that are not folded yet */
            behind: number;
            /** @description all of its contracts are folded up to this ledger */
            asOfLedger: number | null;
            /** @description whether none of its contracts has a gap below asOfLedger */
            complete: boolean;
            rebuilding: boolean;
            /** @description why it stopped */
            trouble: string | null;
            updatedAt: string;
            unknown: components["schemas"]["UnknownModel"];
        };
        /** @description Ledgers that are missing. */
        GapModel: {
            from: number;
            to: number;
            reason: string;
            /** @description null: of all contracts asked for */
            contracts: string[] | null;
        };
        /** @description A stream, and what happened to it. */
        HistoryModel: {
            /** @description null while its creation is not indexed */
            stream: components["schemas"]["StreamModel"] | null;
            events: components["schemas"]["AuditEntryModel"][];
            /** @description as GET /yield/{streamId}, by the newest stored sample; absent without a yield */
            yield?: components["schemas"]["YieldModel"];
            chain: components["schemas"]["ChainModel"];
            /** @description where the next page of events begins; null at the end */
            nextCursor: string | null;
            asOfLedger: number;
            complete: boolean;
        };
        /** @description Which ledgers are indexed. */
        IndexedLedgers: {
            /** @description the first that is wanted; 0: none */
            first: number;
            /** @description the last that is folded */
            last: number;
            /** @description how many of them are there */
            covered: number;
        };
        /** @description An invoice link, as everybody sees it who has its slug. */
        InvoiceLinkModel: {
            id: string;
            /** @description what its addresses end with; letters and digits, capitals matter */
            slug: string;
            /** @description the frontend's page of it */
            shareUrl: string;
            /** @description this service's own pay page */
            payUrl: string;
            /** @description the account that made the link, which asks to be paid */
            sender: string;
            /** @description whom the stream pays */
            receiver: string;
            /** @description what the payer pays, gross, in the token's smallest unit */
            amount: string;
            tokenAddress: string;
            /** @description seconds from the stream's start to its end */
            duration: number;
            /** @description absent: the stream starts when it is paid */
            startTime?: string;
            /** @description nothing is unlocked before it; absent: the start */
            cliffTime?: string;
            /** @description the contract that holds the stream */
            contractId: string;
            /** @description plain text, written by whoever made the link */
            description?: string;
            /** @description an https address, given by whoever made the link */
            pdfUrl?: string;
            /** @description base64 of JSON with receiver, amount, tokenAddress, duration and startTime (Unix seconds; of a link that names no start, when it was made) */
            xdrParams: string;
            status: components["schemas"]["LinkStatus"];
            /** @description who paid, or whose transaction was submitted last */
            payer?: string;
            /** @description the transaction that paid, or was submitted last */
            txHash?: string;
            /** @description 'id' of the stream that paid: {contractId}-{n} */
            streamId?: string;
            /** @description RFC 3339, UTC */
            expiresAt?: string;
            /** @description RFC 3339, UTC */
            createdAt: string;
            /** @description RFC 3339, UTC */
            updatedAt: string;
        };
        /** @description A link to be made by the caller, who asks to be paid. */
        InvoiceLinkRequest: {
            /** @description whom the stream pays: an account (G…) or a contract (C…) */
            receiver: string;
            /** @description what the payer pays, gross, in the token's smallest unit */
            amount: string;
            /** @description a contract (C…) */
            tokenAddress: string;
            /** @description seconds from the stream's start to its end */
            duration: number;
            /**
             * @description plain text for whoever pays; line ends may be in it
             * @default null
             */
            description: string | null;
            /**
             * @description an https address of the invoice; it is shown, and never read
             * @default null
             */
            pdfUrl: string | null;
            /**
             * @description from then on it cannot be paid, ten years ahead at the most; left out: never
             * @default null
             */
            expiresAt: string | null;
            /**
             * @description when the stream starts, ten years ahead at the most; left out: when it is paid
             * @default null
             */
            startTime: string | null;
            /**
             * @description nothing is unlocked before it; needs startTime; left out: the start
             * @default null
             */
            cliffTime: string | null;
            /**
             * @description left out: the service's default
             * @default null
             */
            contractId: string | null;
        };
        /**
         * @description The states of a link.
         * @enum {string}
         */
        LinkStatus: "DRAFT" | "SIGNED" | "COMPLETED" | "EXPIRED" | "CANCELED";
        /** @description A page of the audit log. */
        ListOfEntries: {
            items: components["schemas"]["AuditEntryModel"][];
            /** @description where the next page begins; null at the end. A page may be short, or empty, before it */
            nextCursor: string | null;
            /** @description the last ledger that the answer speaks for; up to it nothing is missing */
            asOfLedger: number;
            /** @description false while a gap lies inside what was asked, or the answer reaches past asOfLedger */
            complete: boolean;
        };
        /** @description A page of events. */
        ListOfEvents: {
            items: components["schemas"]["EventModel"][];
            /** @description where the next page begins; null at the end. A page may be short, or empty, before it */
            nextCursor: string | null;
            /** @description the last ledger that the answer speaks for; up to it nothing is missing */
            asOfLedger: number;
            /** @description false while a gap lies inside what was asked, or the answer reaches past asOfLedger */
            complete: boolean;
        };
        /** @description A page of links. */
        ListOfLinks: {
            items: components["schemas"]["OwnLinkModel"][];
            /** @description where the next page begins; null at the end. A page may be short, or empty, before it */
            nextCursor: string | null;
            /** @description the last ledger that the answer speaks for; up to it nothing is missing */
            asOfLedger: number;
            /** @description false while a gap lies inside what was asked, or the answer reaches past asOfLedger */
            complete: boolean;
        };
        /** @description A page of streams. */
        ListOfStreams: {
            items: components["schemas"]["StreamModel"][];
            /** @description where the next page begins; null at the end. A page may be short, or empty, before it */
            nextCursor: string | null;
            /** @description the last ledger that the answer speaks for; up to it nothing is missing */
            asOfLedger: number;
            /** @description false while a gap lies inside what was asked, or the answer reaches past asOfLedger */
            complete: boolean;
        };
        /**
         * @description What ties a stream to a link.
         * @enum {string}
         */
        MatchedBy: "transaction" | "memo" | "terms";
        /** @description One minute. */
        MinuteModel: {
            /** @description when the minute begins, by the ledgers' close times */
            start: string;
            events: number;
        };
        /** @description A stream to be created by the caller, who pays. */
        NewStream: {
            /** @description an account (G…) or a contract (C…) */
            receiver: string;
            /** @description what the sender pays, gross, in the token's smallest unit */
            amount: string;
            /** @description a contract (C…) */
            tokenAddress: string;
            /** @description seconds from start to end */
            duration: number;
            /**
             * @description left out: now
             * @default null
             */
            startTime: string | null;
            /**
             * @description nothing is unlocked before it; left out: the start
             * @default null
             */
            cliffTime: string | null;
            /**
             * @description put the money into the token's vault meanwhile
             * @default null
             */
            yieldEnabled: boolean | null;
            /**
             * @description left out: the service's default
             * @default null
             */
            contractId: string | null;
            /**
             * @description 1 to 32 of A-Z a-z 0-9 _
             * @default null
             */
            memo: string | null;
        };
        /**
         * @description What a payment is to its link. ``COMPLETED`` and ``OVERPAID`` complete it; the others do not.
         * @enum {string}
         */
        Outcome: "completed" | "overpaid" | "underpaid" | "different-terms" | "repeated" | "late" | "after-cancel" | "ambiguous" | "unverified";
        /** @description An invoice link, as its owner sees it. */
        OwnLinkModel: {
            id: string;
            /** @description what its addresses end with; letters and digits, capitals matter */
            slug: string;
            /** @description the frontend's page of it */
            shareUrl: string;
            /** @description this service's own pay page */
            payUrl: string;
            /** @description the account that made the link, which asks to be paid */
            sender: string;
            /** @description whom the stream pays */
            receiver: string;
            /** @description what the payer pays, gross, in the token's smallest unit */
            amount: string;
            tokenAddress: string;
            /** @description seconds from the stream's start to its end */
            duration: number;
            /** @description absent: the stream starts when it is paid */
            startTime?: string;
            /** @description nothing is unlocked before it; absent: the start */
            cliffTime?: string;
            /** @description the contract that holds the stream */
            contractId: string;
            /** @description plain text, written by whoever made the link */
            description?: string;
            /** @description an https address, given by whoever made the link */
            pdfUrl?: string;
            /** @description base64 of JSON with receiver, amount, tokenAddress, duration and startTime (Unix seconds; of a link that names no start, when it was made) */
            xdrParams: string;
            status: components["schemas"]["LinkStatus"];
            /** @description who paid, or whose transaction was submitted last */
            payer?: string;
            /** @description the transaction that paid, or was submitted last */
            txHash?: string;
            /** @description 'id' of the stream that paid: {contractId}-{n} */
            streamId?: string;
            /** @description RFC 3339, UTC */
            expiresAt?: string;
            /** @description RFC 3339, UTC */
            createdAt: string;
            /** @description RFC 3339, UTC */
            updatedAt: string;
            /** @description RFC 3339, UTC */
            canceledAt?: string;
            /** @description a deleted link is shown only where a stream came for it */
            deletedAt?: string;
            /** @description the first streams that came for it, oldest first */
            payments: components["schemas"]["PaymentModel"][];
        };
        /** @description Who is going to pay. */
        Payer: {
            /** @description the account (G…) that pays and signs */
            account: string;
        };
        /** @description A stream on chain that is tied to a link. */
        PaymentModel: {
            /** @description the event that created it */
            eventId: string;
            /** @description 'id' of the stream: {contractId}-{n} */
            streamId: string;
            txHash: string;
            ledger: number;
            /** @description RFC 3339, UTC */
            closedAt: string;
            payer: string | null;
            /** @description what was paid; null while that is not known */
            grossAmount: string | null;
            /** @description what the stream holds of it, net of the contract's fee */
            amount: string | null;
            /** @description what ties it to the link */
            matchedBy: components["schemas"]["MatchedBy"];
            /** @description completed and overpaid complete the link, the others do not */
            outcome: components["schemas"]["Outcome"];
        };
        /** @description An unsigned transaction that pays a link. */
        PaymentToSignModel: {
            transaction: components["schemas"]["UnsignedTransaction"];
            stream: components["schemas"]["StreamPreview"];
            /** @description a request to sign it, for a wallet on the same machine (SEP-7) */
            sep7Uri: string;
            /** @description a transaction for the link that is not known to have failed: paying again may pay twice */
            underWay?: string;
        };
        /** @description A problem (RFC 9457). 'code' is stable; 'type' leads to its documentation. */
        Problem: {
            /** Format: uri */
            type: string;
            title: string;
            status: number;
            detail: string;
            code: string;
            instance?: string;
            errors?: {
                field: string;
                detail: string;
            }[];
        };
        /** @description Events of the last minutes. */
        RateModel: {
            /** @description oldest first, up to the moment for which the database speaks; fewer than asked for where this worker has not counted as far back */
            minutes: components["schemas"]["MinuteModel"][];
            /** @description the last ledger up to which nothing is missing */
            asOfLedger: number;
        };
        /**
         * @description What is wrong with an entry, or with a chain's end.
         * @enum {string}
         */
        Reason: "event-missing" | "event-differs" | "link-differs" | "link-missing" | "head-differs";
        /** @description An end that the chain had, until an event came to belong before it. */
        RevisionModel: {
            revision: number;
            links: number;
            head: string;
            lastEvent: string;
            /** @description the first of the entries that it lacked */
            replacedByEvent: string;
            /** @description RFC 3339, UTC */
            replacedAt: string;
        };
        /** @description What the vault said at a ledger. */
        SampleModel: {
            ledger: number;
            /** @description RFC 3339, UTC */
            closedAt: string;
            /** @description the amount, and the number of shares, that was asked about */
            principal: string;
            /** @description interest on the principal; null: the vault does not say */
            interest: string | null;
            /** @description what the shares are worth; null: the vault does not say */
            value: string | null;
        };
        /** @description What was found; for more streams than are here ask ``/streams?q=``. */
        SearchAnswer: {
            items: components["schemas"]["SearchItem"][];
            /** @description where the next page begins; null at the end. A page may be short, or empty, before it */
            nextCursor: string | null;
            /** @description the last ledger that the answer speaks for; up to it nothing is missing */
            asOfLedger: number;
            /** @description false while a gap lies inside what was asked, or the answer reaches past asOfLedger */
            complete: boolean;
        };
        /** @description Something that was found. */
        SearchItem: {
            /** @description stream, transaction, contract, or a plugin's kind (invoice-link) */
            kind: string;
            id: string;
            /** @description what of it fits: id, sender, receiver, beneficiary, token, memo, … */
            matched: string;
            /** @description a line for people */
            title: string;
            /** @description where the API has it */
            path: string;
            /** @description the stream, where it is one */
            stream: components["schemas"]["StreamModel"] | null;
        };
        /** @description The challenge, signed by the account's signers. */
        SignedChallenge: {
            transaction: string;
        };
        /** @description The transaction as the payer's wallet signed it. */
        SignedPayment: {
            /** @description base64 of the TransactionEnvelope */
            xdr: string;
            /**
             * @description take it only while no other payment of the link is under way (409 payment-under-way)
             * @default false
             */
            alone: boolean;
        };
        /** @description A transaction as the wallet signed it. */
        SignedTransaction: {
            /** @description base64 of the TransactionEnvelope */
            xdr: string;
        };
        /** @description A ledger source as this worker sees it. */
        SourceModel: {
            name: string;
            summary: string;
            /**
             * @description unknown: not asked yet
             * @enum {string}
             */
            state: "up" | "down" | "unknown";
            oldest: number | null;
            latest: number | null;
            /** @description ledgers in the database that came from it */
            coveredLedgers: number;
            /** @description why it is down */
            trouble: string | null;
        };
        /**
         * @description What became of a transaction, as far as it is known.
         * @enum {string}
         */
        State: "PENDING" | "SUCCESS" | "FAILED";
        /** @description Totals of all streams, as of the close time of 'asOfLedger'. */
        StatsModel: {
            streams: components["schemas"]["StatusCounts"];
            /** @description those with the most streams first, at most 200 */
            tokens: components["schemas"]["TokenStats"][];
            /** @description how many tokens have streams */
            tokensTotal: number;
            senders: number;
            receivers: number;
            /** @description events in streams' histories */
            events: number;
            ledgers: components["schemas"]["IndexedLedgers"];
            asOf: string | null;
            asOfLedger: number;
            complete: boolean;
        };
        /**
         * @description What a reader is told. Only the clock turns ACTIVE into COMPLETED without an event.
         * @enum {string}
         */
        Status: "ACTIVE" | "PAUSED" | "COMPLETED" | "CANCELED" | "ARCHIVED";
        /** @description What the owner sets a link to. */
        StatusChange: {
            /** @description CANCELED; or SIGNED, with txHash */
            status: components["schemas"]["LinkStatus"];
            /**
             * @description the transaction that was submitted for the link elsewhere
             * @default null
             */
            txHash: string | null;
        };
        /** @description How many streams have each status. */
        StatusCounts: {
            total: number;
            ACTIVE: number;
            PAUSED: number;
            COMPLETED: number;
            CANCELED: number;
            ARCHIVED: number;
        };
        /** @description A payment stream, as of the close time of ``asOfLedger`` unless another moment was asked for. */
        StreamModel: {
            /** @description {contractId}-{streamId} */
            id: string;
            /** @description the contract's own number */
            streamId: string;
            contractId: string;
            /** @description v1, v2, or the name of another contract family */
            version: string;
            sender: string | null;
            receiver: string | null;
            /** @description who is paid; the receiver, unless that was changed */
            beneficiary: string | null;
            tokenAddress: string | null;
            /** @description what the contract stores: net of its fee */
            amount: string | null;
            /** @description seconds from start to end */
            duration: number | null;
            startTime: string | null;
            cliffTime: string | null;
            /** @description null where it is unknown, or later than the year 9999 */
            endTime: string | null;
            status: components["schemas"]["Status"];
            /** @description null where neither events nor a fresh read tell */
            withdrawn: string | null;
            /** @description null where neither events nor a fresh read tell */
            unlocked: string | null;
            /** @description null where neither events nor a fresh read tell */
            withdrawable: string | null;
            /** @description how it unlocks; null until the chain was read */
            curve: components["schemas"]["Curve"] | null;
            /** @description when the clock completes it; null while nothing says */
            completesAt: string | null;
            /** @description null until the chain was read */
            yieldEnabled: boolean | null;
            /** @description null where there is no yield, or none is known */
            accruedInterest: string | null;
            /** @description what was paid in before fees; null where no event tells */
            grossAmount: string | null;
            /** @description the share of the rest that a sender who cancels pays; null until it was read */
            penaltyBps: number | null;
            /** @description who gets a part of each withdrawal */
            splitAddress: string | null;
            /** @description that part; 0 where there is none, null until it is known */
            splitBps: number | null;
            /** @description whether the receiver can never change */
            soulbound: boolean;
            /** @description whether an arbiter blocks withdrawals; the clock goes on */
            frozen: boolean;
            memo: string | null;
            /** @description id of the V1 stream it goes on */
            migratedFrom: string | null;
            /** @description id of the V2 stream that goes on */
            migratedTo: string | null;
            /** @description RFC 3339, UTC */
            createdAt: string;
            /** @description the transaction that created it */
            txHash: string;
            createdLedger: number;
            /** @description ledger of its last event */
            updatedLedger: number;
            /** @description the ledger it is shown as of */
            asOfLedger: number;
            /** @description whether all events up to asOfLedger are in it; false while ledgers are being folded */
            complete: boolean;
            /** @description ledger of the read of the chain that is in it */
            stateLedger: number | null;
        };
        /** @description The stream as the contract would create it now. It has no id yet. */
        StreamPreview: {
            contractId: string;
            version: string;
            sender: string;
            receiver: string;
            tokenAddress: string;
            /** @description what is streamed, net of the contract's fee; null: not told */
            amount: string | null;
            /** @description what the sender pays */
            grossAmount: string;
            /** @description what the contract keeps of it; null: not told */
            fee: string | null;
            duration: number;
            startTime: string;
            cliffTime: string;
            endTime: string;
            yieldEnabled: boolean;
            memo: string | null;
        };
        /** @description What became of a transaction that was submitted for a link, and of the link. */
        SubmittedModel: {
            txHash: string;
            status: components["schemas"]["State"];
            /** @description the ledger that holds it */
            ledger?: number;
            /** @description 'id' of each stream that it touched; absent until that is indexed */
            streamIds?: string[];
            /** @description why it failed; of one that is PENDING: why a node refused it, though it may be applied yet */
            error?: components["schemas"]["FailureModel"];
            linkStatus: components["schemas"]["LinkStatus"];
        };
        /** @description How far the database is. */
        SyncModel: {
            network: string;
            /** @description what this is about; null: every contract. Empty: none is configured, and none was synced */
            contracts: string[] | null;
            /** @description first wanted ledger; null where nothing was ever synced */
            startLedger: number | null;
            /** @description up to here nothing is missing from startLedger on */
            watermark: number | null;
            /** @description contracts that hold the watermark back, where others are on */
            heldBackBy: string[];
            lastCoveredLedger: number | null;
            /** @description the network's last ledger, as the sources tell it */
            tip: number | null;
            tipClosedAt: string | null;
            /** @description ledgers from the watermark to the tip */
            lag: number | null;
            /** @description about how long those ledgers took to close */
            lagSeconds: number | null;
            asOfLedger: number;
            /** @description whether nothing is missing from startLedger to lastCoveredLedger */
            complete: boolean;
            coverage: components["schemas"]["CoverageModel"][];
            gaps: components["schemas"]["GapModel"][];
            /** @description ranges of coverage and gaps left out of this answer */
            moreRanges: number;
            evidence: components["schemas"]["EvidenceModel"];
            sources: components["schemas"]["SourceModel"][];
            projections: components["schemas"]["FoldingModel"][];
            events: number;
            conflicts: number;
            /** @description of the last commit; grows by one with each */
            position: number;
            /**
             * @description where a live stream that begins now begins: 'since' of /events/live. All that comes before it is in the lists that are read after this answer. Null while this worker has not found the commits
             * @default null
             */
            livePosition: string | null;
        };
        /** @description A token for ``Authorization: Bearer``. */
        TokenModel: {
            token: string;
        };
        /** @description The totals of one token. */
        TokenStats: {
            /** @description null: the streams whose token is not known */
            tokenAddress: string | null;
            streams: components["schemas"]["StatusCounts"];
            /** @description the sum of all streams' amounts */
            amount: string;
            /** @description in the token's smallest unit */
            withdrawn: string;
            /** @description what contracts still owe (TVL), as far as it is known */
            locked: string;
            /** @description streams that are left out of 'locked': nothing tells */
            lockedUnknown: number;
            volume24h: components["schemas"]["Volume"];
            /** @description null where no plugin gives a price */
            usd: components["schemas"]["Worth"] | null;
        };
        /** @description What became of a transaction. */
        TransactionModel: {
            txHash: string;
            status: components["schemas"]["State"];
            /** @description the ledger that holds it */
            ledger?: number;
            /** @description 'id' of each stream that it touched; absent until that is indexed */
            streamIds?: string[];
            /** @description why it failed; of one that is PENDING: why a node refused it, though it may be applied yet */
            error?: components["schemas"]["FailureModel"];
        };
        /** @description What a projection had to leave out. */
        UnknownModel: {
            events: number;
            /** @description the most frequent ones */
            shapes: components["schemas"]["UnknownShapeModel"][];
        };
        /** @description Events of one contract whose shape a projection does not know. */
        UnknownShapeModel: {
            contract: string;
            /** @description types of topics and shape of the value */
            shape: string;
            count: number;
            lastEventId: string;
        };
        /** @description A transaction for the caller's wallet to sign. */
        UnsignedTransaction: {
            /** @description base64 of the TransactionEnvelope, without a signature */
            xdr: string;
            /** @description what is signed, and what the network will call it: 64 hex digits */
            hash: string;
            networkPassphrase: string;
            /** @description the most it costs, in stroops */
            fee: string;
            /** @description it can be applied by ledgers that close no later */
            validUntil: string;
        };
        /** @description What a check found, as far as it came. */
        VerificationModel: {
            /**
             * @description of what this answer speaks of, not of the pages before
             * @enum {string}
             */
            verdict: "intact" | "broken";
            /** @description chains that were checked to their end */
            chains: number;
            /** @description entries that were checked */
            links: number;
            faults: components["schemas"]["FaultModel"][];
            /** @description where to go on; null: everything was checked */
            nextCursor: string | null;
        };
        /** @description What moved in the last day. */
        Volume: {
            /** @description from when on it is counted: whole hours, at least 24 */
            since: string | null;
            /** @description put into new streams */
            created: string;
            /** @description added to streams */
            toppedUp: string;
            /** @description paid out, cancellations included */
            withdrawn: string;
        };
        /** @description A withdrawal by the caller. */
        Withdrawal: {
            /** @description 'id' of the stream, or its bare 'streamId' where one contract is served */
            streamId: string;
            /**
             * @description refused where the contract pays out everything
             * @default null
             */
            amount: string | null;
        };
        /** @description An unsigned transaction that withdraws. */
        WithdrawalModel: {
            transaction: components["schemas"]["UnsignedTransaction"];
            /** @description what would be paid out now; null: not told */
            amount: string | null;
        };
        /** @description The same in US dollars, by a plugin's price of one whole token. */
        Worth: {
            /** @description US dollars of one whole token */
            price: string;
            decimals: number;
            /** @description RFC 3339, UTC */
            asOf: string;
            source: string;
            /** @description US dollars */
            locked: string;
            /** @description US dollars */
            created: string;
            /** @description US dollars */
            toppedUp: string;
            /** @description US dollars */
            withdrawn: string;
        };
        /** @description What a stream's vault has earned for it. */
        YieldModel: {
            /** @description the stream's id: {contractId}-{streamId} */
            id: string;
            /** @description its number in its contract */
            streamId: string;
            /** @description on what is not withdrawn yet; null where the vault does not tell */
            accruedInterest: string | null;
            /** @description in a year, without compounding: 0.08 is 8 %; null with fewer than two samples */
            yieldRate: string | null;
            /** @description as of when the vault told it */
            lastAccrualAt: string | null;
            /** @description all events of the stream up to here are in it */
            asOfLedger: number;
            /** @description what is not withdrawn yet, and earns */
            principal: string | null;
            /** @description the vault's contract */
            vault: string;
            /** @description the ledger at which the vault told it */
            vaultLedger: number | null;
            /** @description absent unless asked for */
            samples?: components["schemas"]["SampleModel"][];
        };
        /** @description What a stream's vault would earn. */
        YieldProjectionModel: {
            /** @description on what is not withdrawn yet, if nothing is withdrawn; null: rate unknown */
            projected: string | null;
            /** @description as yieldRate of the stream's yield */
            rate: string | null;
            days: number;
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    get_api_v1_events: {
        parameters: {
            query?: {
                /** @description how many items at the most */
                limit?: number;
                /** @description 'nextCursor' of the page before */
                cursor?: string;
                /** @description contract id; several may be given */
                contract?: string[];
                /** @description a topic by position: base64 of its ScVal, or '*' for any; an event may have more topics */
                topic?: string[];
                /** @description hash of the transaction, in lower-case hex */
                txHash?: string;
                /** @description first ledger */
                fromLedger?: number;
                /** @description last ledger */
                toLedger?: number;
                /** @description by id: oldest or newest first */
                order?: "asc" | "desc";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListOfEvents"];
                };
            };
        };
    };
    get_api_v1_events_id: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the event's id, as getEvents gives it */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["EventModel"];
                };
            };
        };
    };
    get_api_v1_events_live: {
        parameters: {
            query?: {
                /** @description contract id; several may be given */
                contract?: string[];
                /** @description a topic by position: base64 of its ScVal, or '*' for any; an event may have more topics */
                topic?: string[];
                /** @description the last 'id' that was received; a Last-Event-ID header counts before it */
                since?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
        };
    };
    get_api_v1_events_rate: {
        parameters: {
            query?: {
                /** @description how many minutes */
                minutes?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["RateModel"];
                };
            };
        };
    };
    get_api_v1_sync: {
        parameters: {
            query?: {
                /** @description contracts to look at; none: the configured ones, else all that were synced */
                contract?: string[];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SyncModel"];
                };
            };
        };
    };
    get_api_v1_auth: {
        parameters: {
            query: {
                /** @description the account that logs in: G… */
                account: string;
                /** @description refused: accounts with a memo do not log in */
                memo?: string;
                /** @description this service's own domain, if given */
                home_domain?: string;
                /** @description the wallet's domain, whose SIGNING_KEY signs too */
                client_domain?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ChallengeModel"];
                };
            };
        };
    };
    post_api_v1_auth: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignedChallenge"];
                "application/x-www-form-urlencoded": components["schemas"]["SignedChallenge"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TokenModel"];
                };
            };
        };
    };
    get_api_v1_invoice_links: {
        parameters: {
            query?: {
                /** @description how many items at the most */
                limit?: number;
                /** @description 'nextCursor' of the page before */
                cursor?: string;
                /** @description several may be given */
                status?: components["schemas"]["LinkStatus"][];
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListOfLinks"];
                };
            };
        };
    };
    post_api_v1_invoice_links: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["InvoiceLinkRequest"];
            };
        };
        responses: {
            /** @description the answer */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OwnLinkModel"];
                };
            };
        };
    };
    get_api_v1_invoice_links_slug: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["InvoiceLinkModel"];
                };
            };
        };
    };
    delete_api_v1_invoice_links_slug: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's id, or its slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description done; there is nothing to say */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
        };
    };
    patch_api_v1_invoice_links_id_status: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's id, or its slug */
                id: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["StatusChange"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["OwnLinkModel"];
                };
            };
        };
    };
    post_api_v1_invoice_links_slug_transaction: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Payer"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["PaymentToSignModel"];
                };
            };
        };
    };
    post_api_v1_invoice_links_slug_submit: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignedPayment"];
                "application/x-www-form-urlencoded": components["schemas"]["SignedPayment"];
            };
        };
        responses: {
            /** @description the answer */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SubmittedModel"];
                };
            };
        };
    };
    get_api_v1_invoice_links_slug_qr_svg: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "image/svg+xml": string;
                };
            };
        };
    };
    get_api_v1_invoice_links_slug_qr_png: {
        parameters: {
            query?: {
                /** @description pixels a side at most; each module is a whole number of them */
                size?: number;
            };
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "image/png": string;
                };
            };
        };
    };
    get_api_v1_invoice_links_slug_invoice_pdf: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/pdf": string;
                };
            };
        };
    };
    get_api_v1_invoice_links_slug_live: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description the link's slug; capitals matter */
                slug: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
        };
    };
    get_api_v1_streams: {
        parameters: {
            query?: {
                /** @description how many items at the most */
                limit?: number;
                /** @description 'nextCursor' of the page before */
                cursor?: string;
                /** @description sender, receiver or beneficiary */
                address?: string;
                sender?: string;
                receiver?: string;
                token?: string;
                /** @description several may be given */
                status?: components["schemas"]["Status"][];
                /** @description several may be given */
                contract?: string[];
                /** @description a stream's id or number, an address, a token, a memo or a transaction's hash, whole */
                q?: string;
                /** @description show amounts and status as they are at this moment by the present terms; nothing is undone */
                at?: string;
                /** @description how many to pass over; not with a cursor */
                offset?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListOfStreams"];
                };
            };
        };
    };
    post_api_v1_streams: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["NewStream"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CreationModel"];
                };
            };
        };
    };
    get_api_v1_streams_id: {
        parameters: {
            query?: {
                /** @description show amounts and status as they are at this moment by the present terms; nothing is undone */
                at?: string;
            };
            header?: never;
            path: {
                /** @description the stream's id, or its bare number where one contract is served */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StreamModel"];
                };
            };
        };
    };
    get_api_v1_audit_log: {
        parameters: {
            query?: {
                /** @description how many items at the most */
                limit?: number;
                /** @description 'nextCursor' of the page before */
                cursor?: string;
                /** @description entries of this contract's streams; several may be given */
                contract?: string[];
                /** @description entries of the streams it sends, receives or is paid from now */
                address?: string;
                /** @description eventType; several may be given */
                type?: string[];
                /** @description first ledger */
                fromLedger?: number;
                /** @description last ledger */
                toLedger?: number;
                /** @description by event id: newest or oldest first */
                order?: "asc" | "desc";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["ListOfEntries"];
                };
            };
        };
    };
    get_api_v1_audit_log_streamId: {
        parameters: {
            query?: {
                /** @description how many items at the most */
                limit?: number;
                /** @description 'nextCursor' of the page before */
                cursor?: string;
                /** @description by event id: oldest or newest first */
                order?: "asc" | "desc";
            };
            header?: never;
            path: {
                /** @description the stream's id, or its bare number where one contract is served */
                streamId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["HistoryModel"];
                };
            };
        };
    };
    get_api_v1_audit_log_chain_verify: {
        parameters: {
            query?: {
                /** @description check one stream's chain, and no others */
                stream?: string;
                /** @description 'nextCursor' of the answer before */
                cursor?: string;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["VerificationModel"];
                };
            };
        };
    };
    get_api_v1_stats: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["StatsModel"];
                };
            };
        };
    };
    get_api_v1_search: {
        parameters: {
            query: {
                /** @description a stream's id or number, an address, a transaction's hash, a slug, or how a memo begins */
                q: string;
                /** @description how many of each kind at the most */
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["SearchAnswer"];
                };
            };
        };
    };
    get_api_v1_yield_streamId: {
        parameters: {
            query?: {
                /** @description how many samples to show, newest first */
                samples?: number;
            };
            header?: never;
            path: {
                /** @description the stream's id, or its bare number where one contract is served */
                streamId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["YieldModel"];
                };
            };
        };
    };
    get_api_v1_yield_streamId_projection: {
        parameters: {
            query?: {
                /** @description days from now */
                days?: number;
            };
            header?: never;
            path: {
                /** @description the stream's id, or its bare number where one contract is served */
                streamId: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["YieldProjectionModel"];
                };
            };
        };
    };
    post_api_v1_streams_withdraw: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Withdrawal"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["WithdrawalModel"];
                };
            };
        };
    };
    post_api_v1_streams_cancel: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["Cancellation"];
            };
        };
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["CancellationModel"];
                };
            };
        };
    };
    post_api_v1_transactions: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                "application/json": components["schemas"]["SignedTransaction"];
            };
        };
        responses: {
            /** @description the answer */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TransactionModel"];
                };
            };
        };
    };
    get_api_v1_transactions_hash: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @description 64 hex digits */
                hash: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the answer */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TransactionModel"];
                };
            };
        };
    };
}
