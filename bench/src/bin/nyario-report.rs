//! Makes a page and plots of what nyario-compare has measured.

#![deny(missing_docs)]

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nyario_bench::args::{Args, refuse};
use nyario_bench::measurement::Measurement;
use nyario_bench::report::{Section, page, plot};

const USAGE: &str = "nyario-report PAGE.md MEASUREMENT.json...";

fn files(mut args: Args) -> Result<(PathBuf, Vec<PathBuf>), String> {
    let page: PathBuf = args.next().ok_or("a page is wanted")?.into();
    if page.extension().is_none_or(|extension| extension != "md") {
        return Err(format!("{} is no page", page.display()));
    }
    let mut measurements = Vec::new();
    while let Some(arg) = args.next() {
        measurements.push(arg.into());
    }
    if measurements.is_empty() {
        return Err("a measurement is wanted".into());
    }
    Ok((page, measurements))
}

/// Plots of a workload that is not measured any more would stay and be taken for new ones.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "svg") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn run(page: &Path, files: &[PathBuf]) -> Result<(), String> {
    let measurements: Vec<Measurement> = files.iter().map(|file| Measurement::read(file)).collect::<Result<_, _>>()?;
    let sections = Section::all(&measurements)?;
    let folder = page.with_extension("");
    let at = |path: &Path, error: io::Error| format!("{}: {error}", path.display());
    fs::create_dir_all(&folder).and_then(|()| clear(&folder)).map_err(|error| at(&folder, error))?;
    for section in &sections {
        let file = folder.join(&section.file).with_added_extension("svg");
        fs::write(&file, plot::draw(section)).map_err(|error| at(&file, error))?;
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    fs::write(page, page::write(&measurements, &sections, &name)).map_err(|error| at(page, error))
}

fn main() -> ExitCode {
    let (page, files) = match files(Args::of_process()) {
        Ok(files) => files,
        Err(error) => return refuse(&error, USAGE),
    };
    match run(&page, &files) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
