import Foundation
internal import ModelFiles

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The folder of a run: a ``StagedFolder`` that may replace an earlier run, and nothing else.
struct RunFolder {
  private let folder: StagedFolder

  /// Decides on `path` and makes the staging folder.
  ///
  /// - Parameter inputs: the user's files and folders; the output may neither be, hold, nor lie in one of them.
  init(path: String, inputs: [String]) throws {
    try OutputPlace.check(path, against: inputs)
    try RunFolder.checkReplaceable(path)
    folder = try StagedFolder(path: path)
  }

  /// Puts the finished folder in place, replacing an earlier run.
  func commit() throws { try folder.commit() }

  /// Removes everything that was written.
  func discard() { folder.discard() }

  /// Makes a folder in the run's folder.
  func makeFolder(_ name: String) throws -> String {
    let path = "\(folder.staging)/\(name)"
    guard mkdir(path, 0o777) == 0 else { throw StagedFolder.failure(errno, "\(folder.path)/\(name)") }
    return path
  }

  /// Removes a folder that ``makeFolder(_:)`` made, for what is not to stay.
  func removeFolder(_ name: String) { try? FileManager.default.removeItem(atPath: scratch(name)) }

  /// The path of a file for the time of a stage, which nobody is shown.
  func scratch(_ name: String) -> String { "\(folder.staging)/\(name)" }

  /// Writes a text file into the run's folder.
  func write(_ text: String, to name: String) throws {
    try AtomicFile.write(text, to: "\(folder.staging)/\(name)")
  }

  /// `error` with staged files under the names that they would have got: nobody can look for hidden ones.
  func named(_ error: any Error) -> any Error { folder.named(error) }

  /// Throws when the disk has less room than `bytes` and a little more.
  func requireSpace(_ bytes: Int) throws {
    guard let free = AtomicFile.freeSpace(at: folder.staging), free < bytes + bytes / 50 + (1 << 20) else {
      return
    }
    throw JobError(
      .inputOutput,
      "\(folder.path): the artifacts can take \(bytes) bytes, the disk has \(free) left; "
        + "make room or choose another place with -o")
  }

  /// The length of a file; 0 when it cannot be known.
  static func size(of path: String) -> Int {
    var status = stat()
    return stat(path, &status) == 0 ? Int(status.st_size) : 0
  }

  /// An earlier run has a report, and nothing that a run does not write.
  private static func checkReplaceable(_ path: String) throws {
    guard let contents = try OutputPlace.contents(of: path), !contents.isEmpty else { return }
    let foreign = contents.first { !isOurs($0) }
    guard foreign != nil || !contents.contains("report.json") else { return }
    throw JobError(
      .usage,
      "\(path): the folder holds other things than an earlier run ('\(foreign ?? contents[0])'); "
        + "choose another place with -o")
  }

  private static func isOurs(_ name: String) -> Bool {
    if name.hasPrefix("report.") || name == "recipe.yaml" { return true }
    guard let dash = name.firstIndex(of: "-") else { return false }
    return dash != name.startIndex && name[..<dash].allSatisfy(\.isNumber)
  }
}
