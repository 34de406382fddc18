//! Help in Japanese: every sentence of the command line, by its English one.

use tenken_service::help::Sentences;

/// The sentences. A test names those that are missing.
pub const JAPANESE: &Sentences<'_> = &[
    (
        "Endpoint audit agent: collects facts about this machine and delivers them signed.",
        "点検エージェント: この機器の状態を収集し、署名して送信します。",
    ),
    (
        "Language of what is printed for people (ja or en; else that of the environment)",
        "表示の言語（ja または en。指定がなければ環境に従う）",
    ),
    (
        "Settings file (see `tenken-agent config --example`)",
        "設定ファイル（`tenken-agent config --example` を参照）",
    ),
    ("Data folder", "データフォルダー"),
    ("How to print", "表示の形式"),
    ("How to print the result", "結果の表示の形式"),
    ("For people", "人が読む表"),
    ("One JSON document", "1つのJSON文書"),
    // Commands.
    (
        "Collect the facts of this machine, or of the one under a folder, and print them",
        "この機器、または指定フォルダー以下の機器の状態を収集して表示",
    ),
    ("Say what is collected and why", "何をなぜ収集するかを表示"),
    (
        "Report the result of a backup made by a script of your own",
        "独自のスクリプトで取ったバックアップの結果を報告",
    ),
    (
        "Judge this machine, or the one under a folder; exit code 0 pass, 1 fail, 2 error, 3 unknown",
        "この機器、または指定フォルダー以下の機器を判定。終了コード: 0 適合、1 不適合、2 エラー、3 不明",
    ),
    ("Enrol this machine with a collector", "この機器をコレクターに登録"),
    ("Collect and report until told to stop", "止められるまで収集と報告を続ける"),
    ("Install, remove, start, stop or look at the service", "サービスの登録・削除・開始・停止・状態表示"),
    (
        "Make the service and leave the enrolment to it; for installers",
        "サービスを登録し、コレクターへの登録はサービスに任せる（インストーラー用）",
    ),
    ("Last report, spool, clock offset, next run", "最後の報告、送信待ち、時計のずれ、次の実行を表示"),
    (
        "Find what keeps this machine from reporting, and what to do about it",
        "報告できない原因と対処を調べる",
    ),
    ("Give this machine a new key", "この機器の鍵を更新"),
    ("Show the settings in force, or an example file", "有効な設定、または設定ファイルの例を表示"),
    (
        "Answer one question of the agent's own on standard output",
        "エージェント自身の問い1つに標準出力で答える",
    ),
    ("Which", "どの問いか"),
    // inventory, check, run, enrol
    (
        "Read the machine whose files lie under this folder (a mounted disk, a VM image, a restored backup); registry exports of a Windows machine are read from `registry/*.reg` in it",
        "このフォルダー以下にファイルがある機器を読む（マウントしたディスク、VMイメージ、復元したバックアップ）。Windowsのレジストリの書き出しは、その中の `registry/*.reg` から読む",
    ),
    (
        "Read that machine by the clock of this time (RFC 3339): what is kept for a span of days ends there",
        "その機器をこの時刻（RFC 3339）のものとして読む。日数で区切る記録はこの時刻までとする",
    ),
    ("Collect only these kinds", "これらの種類だけを収集"),
    (
        "Keep what was collected in this folder, so that the next run reads only what changed",
        "収集結果をこのフォルダーに残し、次回は変わったものだけを読む",
    ),
    ("Judge the machine whose files lie under this folder", "このフォルダー以下にファイルがある機器を判定"),
    ("Judge that machine by the clock of this time (RFC 3339)", "その機器をこの時刻（RFC 3339）で判定"),
    (
        "Policy file (JSON or TOML); else the collector's last one, else the built-in one",
        "ポリシーファイル（JSONまたはTOML）。指定がなければコレクターから最後に届いたもの、それもなければ内蔵のもの",
    ),
    (
        "History file; a machine under a folder has none unless named",
        "履歴ファイル。フォルダー以下の機器では、指定がなければ使わない",
    ),
    ("Collect and deliver once, then exit", "収集と送信を1回だけ行って終了"),
    (
        "Report the machine whose files lie under this folder instead of the running one",
        "動作中の機器ではなく、このフォルダー以下にファイルがある機器を報告",
    ),
    (
        "The token; `-` reads it from standard input (a token on the command line is seen by other users)",
        "登録トークン。`-` なら標準入力から読む（コマンドラインのトークンは他の利用者に見えます）",
    ),
    ("Read the token from a file", "トークンをファイルから読む"),
    (
        "Give up the identity this machine has, and enrol it as a new host",
        "この機器の今の登録を捨て、新しい機器として登録",
    ),
    (
        "Read the machine under this folder instead of the running one",
        "動作中の機器ではなく、このフォルダー以下の機器を読む",
    ),
    // backup-report
    (
        "Name of the job; the same name replaces its last report",
        "ジョブの名前。同じ名前なら前回の報告を置き換える",
    ),
    ("How the run ended", "実行の結果"),
    (
        "Start of the run (RFC 3339, for example 2026-11-23T01:00:00+09:00)",
        "実行の開始時刻（RFC 3339。例: 2026-11-23T01:00:00+09:00）",
    ),
    ("End of the run; now if not given", "実行の終了時刻。指定がなければ現在"),
    ("Size of the copy in bytes", "バックアップの大きさ（バイト）"),
    ("Copies kept", "保持している世代数"),
    ("Time of the oldest copy kept", "保持している最も古い世代の時刻"),
    ("Where the copy went (do not put passwords here)", "保存先（パスワードを書かないこと）"),
    ("Kind of destination", "保存先の種類"),
    (
        "Declared backup target of the policy that this job fulfils",
        "このジョブが満たす、ポリシーで宣言したバックアップ対象",
    ),
    ("The script's own result code", "スクリプト独自の結果コード"),
    (
        "Backup product whose result this is, as the inventory names it (for example acronis): a product that cannot be read counts as read once it reports",
        "この結果を出したバックアップ製品の、収集結果での名前（例: acronis）。読み取れない製品も、報告があれば読み取れたものとして扱う",
    ),
    ("Folder to write to, for tests", "書き込み先のフォルダー（試験用）"),
    // service, setup, config
    (
        "Write the unit, start the service now and at every boot",
        "サービスを登録し、今すぐ、また起動のたびに開始",
    ),
    (
        "Stop the service and remove its unit; data and identity stay",
        "サービスを停止して削除。データと登録は残る",
    ),
    ("Start", "開始"),
    ("Stop", "停止"),
    (
        "Live under the service manager of Windows, which alone starts this",
        "Windowsのサービス管理の下で動く（サービス管理だけが起動する）",
    ),
    ("What the service manager says", "サービス管理が示す状態を表示"),
    ("The enrolment token; an empty one counts as none", "登録トークン。空なら、ないものとする"),
    (
        "A file beside the installer that may hold the token",
        "トークンが入っているかもしれない、インストーラーの横のファイル",
    ),
    ("Print a commented settings file with the defaults", "既定値と説明の付いた設定ファイルを表示"),
];
