import Foundation
internal import ModelFiles

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The folder of a run: written as a hidden sibling, renamed into place when everything is there.
///
/// A run that fails or is killed leaves the place as it was: at worst a hidden `.NAME.partial-PID` stays, which the next run into
/// the same place removes.
struct RunFolder {
  /// Where the folder appears.
  let path: String
  /// Where it is written.
  let staging: String
  /// The file whose presence marks a folder as one of ours, which may be replaced.
  static let marker = "report.json"

  /// Decides on `path` and makes the staging folder.
  ///
  /// - Parameter inputs: the user's files and folders; the output may neither be, hold, nor lie in one of them.
  init(path: String, inputs: [String]) throws {
    let full = URL(fileURLWithPath: path).standardizedFileURL.path
    self.path = full
    let parent = (full as NSString).deletingLastPathComponent
    let name = (full as NSString).lastPathComponent
    guard !name.isEmpty, name != "/" else {
      throw JobError(.usage, "\(path): not a place for a run's folder")
    }
    for input in inputs { try RunFolder.check(output: full, against: input) }
    try RunFolder.checkReplaceable(full)
    do {
      try FileManager.default.createDirectory(atPath: parent, withIntermediateDirectories: true)
    } catch {
      throw JobError(.inputOutput, "\(parent): cannot make the folder: \(RunFolder.reason(error))")
    }
    RunFolder.removeStale(in: parent, name: name)
    staging = "\(parent)/.\(name).partial-\(getpid())"
    guard mkdir(staging, 0o777) == 0 else {
      throw JobError(.inputOutput, "\(staging): cannot make the folder: \(String(cString: strerror(errno)))")
    }
    Unfinished.add(staging)
  }

  /// Puts the finished folder in place, replacing an earlier run.
  func commit() throws {
    let old = staging + ".old"
    let replaces = FileManager.default.fileExists(atPath: path)
    if replaces, rename(path, old) != 0 { throw failure("replace") }
    guard rename(staging, path) == 0 else {
      let error = failure("put in place")
      if replaces { _ = rename(old, path) }
      throw error
    }
    Unfinished.remove(staging)
    if replaces { try? FileManager.default.removeItem(atPath: old) }
    let descriptor = open((path as NSString).deletingLastPathComponent, O_RDONLY)
    if descriptor >= 0 {
      fsync(descriptor)
      close(descriptor)
    }
  }

  /// Removes everything that was written.
  func discard() {
    try? FileManager.default.removeItem(atPath: staging)
    Unfinished.remove(staging)
  }

  private func failure(_ verb: String) -> JobError {
    JobError(.inputOutput, "\(path): cannot \(verb): \(String(cString: strerror(errno)))")
  }

  /// Makes a folder in the run's folder.
  func makeFolder(_ name: String) throws -> String {
    let path = "\(staging)/\(name)"
    guard mkdir(path, 0o777) == 0 else {
      throw JobError(.inputOutput, "\(path): cannot make the folder: \(String(cString: strerror(errno)))")
    }
    return path
  }

  /// Writes a text file into the run's folder.
  func write(_ text: String, to name: String) throws { try AtomicFile.write(text, to: "\(staging)/\(name)") }

  /// Throws when the disk has less room than `bytes` and a little more.
  func requireSpace(_ bytes: Int) throws {
    guard let free = AtomicFile.freeSpace(at: staging), free < bytes + bytes / 50 + (1 << 20) else { return }
    throw JobError(
      .inputOutput,
      "\(path): the artifacts can take \(bytes) bytes, the disk has \(free) left; "
        + "make room or choose another place with -o")
  }

  /// The length of a file; 0 when it cannot be known.
  static func size(of path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  // MARK: Checks

  private static func check(output: String, against input: String) throws {
    let source = resolved(input)
    let target = resolved(output)
    let isFolder = isDirectory(source)
    if target == source || (isFolder && target.hasPrefix(source + "/")) {
      throw JobError(
        .usage,
        "\(output): the output would \(target == source ? "replace" : "lie inside") the input \(input); "
          + "choose another place with -o")
    }
    if source.hasPrefix(target + "/") {
      throw JobError(
        .usage, "\(output): the input \(input) lies inside the output; choose another place with -o")
    }
  }

  private static func checkReplaceable(_ path: String) throws {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw JobError(.usage, "\(path): exists and is no folder; choose another place with -o")
    }
    let contents = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    guard contents.isEmpty || contents.contains(marker) else {
      throw JobError(
        .usage, "\(path): the folder holds other things than an earlier run; choose another place with -o")
    }
  }

  /// The path with symbolic links followed as far as it exists.
  private static func resolved(_ path: String) -> String {
    var tail: [String] = []
    var head = URL(fileURLWithPath: path).standardizedFileURL.path
    while head != "/" {
      if let real = realpath(head, nil) {
        defer { free(real) }
        return ([String(cString: real)] + tail.reversed()).joined(separator: "/")
      }
      tail.append((head as NSString).lastPathComponent)
      head = (head as NSString).deletingLastPathComponent
    }
    return path
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  /// Removes staging folders whose process is gone.
  private static func removeStale(in parent: String, name: String) {
    let prefix = ".\(name).partial-"
    for entry in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
    where entry.hasPrefix(prefix) {
      let number = entry.dropFirst(prefix.count).prefix { $0.isNumber }
      guard let process = Int32(number), kill(process, 0) != 0, errno == ESRCH else { continue }
      try? FileManager.default.removeItem(atPath: "\(parent)/\(entry)")
    }
  }

  private static func reason(_ error: any Error) -> String {
    let underlying = (error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError
    return underlying.map { String(cString: strerror(Int32($0.code))) } ?? error.localizedDescription
  }
}
