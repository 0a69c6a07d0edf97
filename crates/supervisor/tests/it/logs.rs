//! What services write, and what is kept of it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use model::{Phase, ServiceName};
use supervisor::{Stream, Supervisor, log};

use crate::yard::{Yard, eventually, id, options};

#[tokio::test]
async fn a_flood_of_50_mb_leaves_bounded_files_that_end_with_its_end() {
    let mut yard = Yard::new();
    let limit = 1u64 << 20;
    let small = supervisor::Options { log_limit: limit, log_files: 2, ..options(yard.dir.path()) };
    yard.supervisor = Supervisor::new(small).unwrap();
    yard.start(&yard.script("seq -f %0999.0f 1 50000")).await;
    let exit = yard.until_phase(Phase::Exited).await.last_exit.unwrap();
    assert_eq!(exit.last_lines.last().unwrap(), &format!("{:0999}", 50_000));
    let folder = yard.path("logs/orders");
    let sizes: Vec<u64> =
        fs::read_dir(&folder).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes.len(), 5, "three logs and two spools");
    assert!(sizes.iter().all(|size| *size <= limit), "{sizes:?}");
    assert!(sizes.iter().sum::<u64>() > 2 * limit, "what fits is kept: {sizes:?}");
    let numbers: Vec<u32> = yard.output().iter().map(|line| line.parse().unwrap()).collect();
    let first = numbers[0];
    assert_eq!(numbers, (first..=50_000).collect::<Vec<_>>(), "no hole between the files");
}

#[tokio::test]
async fn a_spool_that_was_read_takes_no_room() {
    let mut yard = Yard::new();
    yard.start(&yard.script("seq -f %0999.0f 1 4000; echo done; exec sleep 1000")).await;
    yard.until_output("done").await;
    let about = fs::metadata(yard.path("logs/orders/orders-1.out.spool")).unwrap();
    assert!(about.len() > 4_000_000);
    assert!(about.blocks() * 512 < 1_000_000, "{} bytes on the disk", about.blocks() * 512);
    assert_eq!(about.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(yard.path("logs/orders")).unwrap().permissions().mode() & 0o777, 0o700);
    yard.until_phase(Phase::Ready).await;
}

#[tokio::test]
async fn live_lines_come_with_their_stream_and_an_unfinished_line_does_not_wait_for_ever() {
    let mut yard = Yard::new();
    let mut live = yard.supervisor.logs();
    yard.start(&yard.script("printf 'a\\n\\377b\\n'; printf 'Password: '; sleep 1000")).await;
    let mut texts = Vec::new();
    while texts.len() < 4 {
        let line = tokio::time::timeout(crate::yard::PATIENCE, live.recv()).await.unwrap().unwrap();
        assert_eq!(line.replica, id());
        texts.push((line.stream, line.text.clone()));
    }
    assert!(matches!(&texts[0], (Stream::Isles, text) if text.starts_with("started pid")), "{texts:?}");
    let out: Vec<&str> = texts[1..].iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(out, ["a", "\u{fffd}b", "Password: "]);
}

#[tokio::test]
async fn notes_and_tails_work_for_any_service_by_time_without_a_supervisor() {
    let yard = Yard::new();
    let mut live = yard.supervisor.logs();
    for n in 0..30 {
        for replica in ["orders-1", "stock-1", "stock-2"] {
            yard.supervisor.note(&replica.parse().unwrap(), &format!("{replica} {n}"));
            live.recv().await.unwrap();
        }
    }
    let logs = yard.path("logs");
    drop(yard.supervisor.clone());
    let all = log::tail(&logs, &[], 10).unwrap();
    assert_eq!(all.len(), 10);
    assert!(all.is_sorted_by_key(|line| line.at));
    let stock = ServiceName::new("stock").unwrap();
    let stocks = log::tail(&logs, std::slice::from_ref(&stock), 1000).unwrap();
    assert_eq!(stocks.len(), 60);
    assert!(stocks.iter().all(|line| line.replica.service == stock && line.stream == Stream::Isles));
    assert_eq!(log::tail(&logs, &[], 0).unwrap(), []);
    let everything = log::tail(&logs, &[], 1000).unwrap();
    for (text, count) in [("STOCK-2 1", 11), ("orders-1 29", 1), ("9", 9), ("", 90), ("nowhere", 0)] {
        for most in [0, 3, 1000] {
            let mut expected = everything.clone();
            expected.retain(|line| line.text.contains(&text.to_lowercase()));
            assert_eq!(expected.len(), count, "{text}");
            let expected = &expected[count.saturating_sub(most)..];
            assert_eq!(log::search(&logs, &[], text, most).unwrap(), expected, "{most} of {text}");
        }
    }
    assert_eq!(log::search(&logs, std::slice::from_ref(&stock), "orders", 5).unwrap(), []);
    assert_eq!(log::tail(&yard.path("nowhere"), &[], 5).unwrap(), []);
    assert_eq!(log::tail(&logs, &[ServiceName::new("nobody").unwrap()], 5).unwrap(), []);
}

#[tokio::test]
async fn what_is_nobodys_business_is_in_no_line_that_is_kept_shown_or_reported() {
    let mut yard = Yard::new();
    let options = options(yard.dir.path());
    let mask = options.mask.clone();
    yard.supervisor = Supervisor::new(options).unwrap();
    let mut live = yard.supervisor.logs();
    mask.add(["hunter2"]);
    yard.start(&yard.script("echo out hunter2; echo err hunter2 >&2; exit 1")).await;
    yard.supervisor.note(&id(), "note hunter2");
    assert!(yard.supervisor.logged(&id(), vec![(1, "sent hunter2".to_owned())]));
    let exit = yard.until_phase(Phase::Exited).await.last_exit.unwrap();
    let mut reported = exit.last_lines;
    reported.sort();
    assert_eq!(reported, ["err •••", "out •••"]);
    let kept = log::tail(&yard.path("logs"), &[], 100).unwrap();
    for part in ["out", "err", "note", "sent"] {
        assert!(kept.iter().any(|line| line.text == format!("{part} •••")), "{part}: {kept:?}");
    }
    for line in &kept {
        let shown = live.recv().await.unwrap();
        assert!(!line.text.contains("hunter2") && !shown.text.contains("hunter2"), "{line:?} {shown:?}");
    }
}

#[tokio::test]
async fn a_new_process_begins_with_empty_spools_and_keeps_the_old_log() {
    let mut yard = Yard::new();
    for run in 1..=3 {
        yard.start(&yard.script(&format!("echo run {run}; exit 1"))).await;
        let exit = yard.until("ended", |state| state.restarts == run).await.last_exit.unwrap();
        assert_eq!(exit.last_lines, [format!("run {run}")], "nothing of the run before");
    }
    assert_eq!(yard.output(), ["run 1", "run 2", "run 3"]);
    eventually("empty", || async {
        (fs::metadata(yard.path("logs/orders/orders-1.out.spool")).unwrap().len() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_written_now_is_written_later() {
    let mut yard = Yard::new();
    let limit = 64u64 << 10;
    let small = supervisor::Options { log_limit: limit, log_files: 1, ..options(yard.dir.path()) };
    yard.supervisor = Supervisor::new(small).unwrap();
    yard.start(
        &yard
            .script("echo 0; while [ ! -e go ]; do sleep 0.01; done; seq -f %0999.0f 1 100; exec sleep 1000"),
    )
    .await;
    yard.until_output("0").await;
    // A folder where the rotated file belongs: the rotation fails.
    let obstacle = yard.path("logs/orders/orders-1.log.1");
    fs::create_dir(&obstacle).unwrap();
    fs::write(yard.path("go"), "").unwrap();
    eventually("a log that is full and a spool that has more", || async {
        let size = |name: &str| fs::metadata(yard.path("logs/orders").join(name)).unwrap().len();
        (size("orders-1.log") > limit - 2000 && size("orders-1.out.spool") >= 100_000).then_some(())
    })
    .await;
    fs::remove_dir(&obstacle).unwrap();
    let lines = yard.until_output(&format!("{:0999}", 100)).await;
    assert_eq!(
        lines.iter().map(|line| line.parse().unwrap()).collect::<Vec<u32>>(),
        (0..=100).collect::<Vec<_>>()
    );
}
