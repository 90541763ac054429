//! `fidelio bundle`: a comparison and its inputs in one zip, or in one page.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use fidelio_shared::bundle::{
    BundleReader, BundleWriter, COMPARISON, RUN_FILES, SIM_RUN, WORKLOAD, WORKLOAD_FILES, real_run_name, verify,
};
use fidelio_shared::schema::{DataError, RunMeta, foreign, read_document};
use flate2::read::MultiGzDecoder;

use crate::commands::Context;
use crate::error::Hinted;
use crate::site;
use crate::standalone::{self, MAX_BUNDLE_BYTES};
use crate::store::{DirFolder, foreign_format, hash_directory, load_run_dir, write_file};

const COMPARISON_FILES: [&str; 3] = ["comparison.json", "run_meta.json", "summary.md"];

/// Packs the comparison in `dir` with the runs and the workload its metadata names, after checking that
/// they are still the ones that were compared.
///
/// # Errors
/// When an input is missing or changed, or the zip cannot be written; nothing half-written remains.
pub fn bundle(context: &Context, dir: &Path, with_prompts: bool, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    let (id, writer) = gather(dir, with_prompts)?;
    let target = target(context, &format!("{id}.zip"), out)?;
    write_file(&target, |partial| {
        let file = File::create(partial).with_context(|| format!("creating `{}`", partial.display()))?;
        let mut output = BufWriter::with_capacity(1 << 16, file);
        writer.write(&mut output).context("packing the bundle")?;
        output.flush().with_context(|| format!("writing `{}`", partial.display()))?;
        check(File::open(partial).map(BufReader::new).with_context(|| format!("opening `{}`", partial.display()))?)
    })?;
    Ok(target)
}

/// The same bundle inside one page that shows it, without a server and without a network.
///
/// # Errors
/// As [`bundle`]; also when the bundle is too large for a page, or the viewer is not in this binary.
pub fn bundle_page(context: &Context, dir: &Path, with_prompts: bool, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    site::check_built_in()?;
    let (id, writer) = gather(dir, with_prompts)?;
    let target = target(context, &format!("{id}.html"), out)?;
    let mut zip = Cursor::new(Vec::new());
    writer.write(&mut zip).context("packing the bundle")?;
    let zip = zip.into_inner();
    if zip.len() as u64 > MAX_BUNDLE_BYTES {
        let problem = format!(
            "the bundle has {} MiB, more than the {} MiB a page holds",
            zip.len() >> 20,
            MAX_BUNDLE_BYTES >> 20
        );
        return Err(Hinted::new(problem, "`fidelio bundle` without `--html`, then `fidelio share`").into());
    }
    check(Cursor::new(&zip))?;
    let page = standalone::page(&zip).context("making the page")?;
    let writing =
        |partial: &Path| fs::write(partial, &page).with_context(|| format!("writing `{}`", partial.display()));
    write_file(&target, writing)?;
    context.talk.detail(format!("{} bytes, {} of them the bundle's before it became text", page.len(), zip.len()));
    Ok(target)
}

/// The comparison's id, and everything that goes into its bundle.
fn gather(dir: &Path, with_prompts: bool) -> anyhow::Result<(String, BundleWriter<'static>)> {
    let meta = comparison_meta(dir)?;
    let id = meta.run_id.clone().unwrap_or_else(|| "comparison".to_owned());
    let mut writer = BundleWriter::new(&id, meta.ended_at.clone(), with_prompts);
    add_comparison(&mut writer, dir, COMPARISON)?;
    for (index, real) in real_dirs(&meta).iter().enumerate() {
        add_run(&mut writer, &meta, real, &real_run_name(index))?;
    }
    let sim = meta.sim_run_dir.as_ref().map(PathBuf::from).ok_or_else(|| not_ours(dir, "sim_run_dir"))?;
    add_run(&mut writer, &meta, &sim, SIM_RUN)?;
    if let Some(workload) = meta.workload_dir.as_ref().map(PathBuf::from) {
        let (prompts, tables) = (WORKLOAD_FILES.len() - 1, &WORKLOAD_FILES[..]);
        add_files(&mut writer, &workload, WORKLOAD, if with_prompts { tables } else { &tables[..prompts] })?;
    }
    Ok((id, writer))
}

/// Where the file goes; a place that was chosen must be free.
fn target(context: &Context, usual: &str, out: Option<&Path>) -> anyhow::Result<PathBuf> {
    match out {
        None => Ok(context.store.bundle_file(&site::address_name(Path::new(usual)))),
        Some(out) => context.store.check_free_file(out).map(|()| out.to_path_buf()),
    }
}

/// Metadata may have changed since the comparison: what does not verify is not handed out.
fn check(zip: impl Read + Seek) -> anyhow::Result<()> {
    let verified = BundleReader::open(zip).and_then(|mut bundle| verify(&mut bundle));
    verified.context("verifying the bundle; compare again if a run's metadata changed")?;
    Ok(())
}

fn comparison_meta(dir: &Path) -> anyhow::Result<RunMeta> {
    let mut folder = DirFolder::open_dir(dir).context("reading the comparison")?;
    let file = dir.join("run_meta.json").display().to_string();
    let bytes = read_document(&mut folder, "run_meta.json")?.ok_or_else(|| {
        DataError::new(&file, "is missing: this is not a comparison directory")
            .with_hint("`fidelio compare` makes one and prints its path")
    })?;
    let meta = RunMeta::read(&file, &bytes)?;
    if meta.run_type.as_deref() != Some("compare") {
        let found = meta.run_type.as_deref().unwrap_or("nothing").to_owned();
        return Err(DataError::new(file, format!("says `{found}`, not `compare`: this is not a comparison"))
            .in_column("run_type")
            .with_hint("`fidelio compare` makes a comparison and prints its path")
            .into());
    }
    Ok(meta)
}

fn not_ours(dir: &Path, field: &str) -> DataError {
    DataError::new(dir.join("run_meta.json").display().to_string(), "is missing from the comparison").in_column(field)
}

fn real_dirs(meta: &RunMeta) -> Vec<PathBuf> {
    let listed = meta.params.get("real_run_dirs").and_then(serde_json::Value::as_array);
    let listed: Vec<PathBuf> = listed.into_iter().flatten().filter_map(|dir| dir.as_str()).map(PathBuf::from).collect();
    if listed.is_empty() { meta.real_run_dir.iter().map(PathBuf::from).collect() } else { listed }
}

fn add_run(writer: &mut BundleWriter<'static>, meta: &RunMeta, dir: &Path, role: &str) -> anyhow::Result<()> {
    if !dir.exists() {
        let problem = format!("the {role} `{}` is not where it was when it was compared", dir.display());
        return Err(
            Hinted::new(problem, "run this from the directory `fidelio compare` ran in, or compare again").into()
        );
    }
    let found = hash_directory(dir).with_context(|| format!("reading the {role} `{}`", dir.display()))?;
    if meta.inputs.get(role).is_some_and(|recorded| *recorded != found) {
        let problem = format!("`{}` is no longer the {role} that was compared: its files changed", dir.display());
        return Err(Hinted::new(problem, "compare again, then bundle").into());
    }
    let source = match foreign_format(dir)? {
        Some(format) => format.words(),
        None if dir.is_file() => "request_metrics.csv alone",
        None => return add_files(writer, dir, role, &RUN_FILES),
    };
    for (file, bytes) in foreign::convert(&load_run_dir(dir)?, source, &found)? {
        let open = move || -> io::Result<Box<dyn Read>> { Ok(Box::new(Cursor::new(bytes.clone()))) };
        writer.add(format!("{role}/{file}"), Box::new(open));
    }
    Ok(())
}

/// Adds those of `files` that are there, unpacked.
fn add_files(writer: &mut BundleWriter<'static>, dir: &Path, role: &str, files: &[&str]) -> anyhow::Result<()> {
    for file in files {
        let (plain, packed) = (dir.join(file), dir.join(format!("{file}.gz")));
        let path = if plain.is_file() { plain } else { packed };
        if path.is_file() && !path.is_symlink() {
            add_file(writer, path, format!("{role}/{file}"));
        }
    }
    Ok(())
}

fn add_file(writer: &mut BundleWriter<'static>, path: PathBuf, name: String) {
    writer.add(
        name,
        Box::new(move || -> io::Result<Box<dyn Read>> {
            let file = File::open(&path)?;
            let is_packed = path.extension().is_some_and(|extension| extension == "gz");
            Ok(if is_packed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
        }),
    );
}

/// Adds what a comparison consists of, in name order; anything else that lies there stays out, because
/// bundles are given to others.
fn add_comparison(writer: &mut BundleWriter<'static>, dir: &Path, role: &str) -> anyhow::Result<()> {
    let list = |dir: &Path| -> anyhow::Result<Vec<PathBuf>> {
        let entries = fs::read_dir(dir).with_context(|| format!("listing `{}`", dir.display()))?;
        let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    };
    add_files(writer, dir, role, &COMPARISON_FILES)?;
    for (folder, extensions) in [("figs", &["png", "svg"][..]), ("tables", &["csv"])] {
        let inner = dir.join(folder);
        for path in if inner.is_dir() { list(&inner)? } else { Vec::new() } {
            let is_known = path.extension().is_some_and(|found| extensions.iter().any(|known| found == *known));
            if let Some(name) = path.file_name().filter(|_| is_known && path.is_file() && !path.is_symlink()) {
                let place = format!("{role}/{folder}/{}", name.to_string_lossy());
                add_file(writer, path.clone(), place);
            }
        }
    }
    Ok(())
}
