import Foundation
internal import ModelFiles

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A folder that appears under its name whole or not at all: written as a hidden sibling, renamed into place.
///
/// A program that fails or is stopped leaves the place as it was. One that is killed leaves at worst a hidden
/// `.NAME.partial-PID`, which the next run into the same place removes.
struct StagedFolder: Sendable {
  /// Where the folder appears, as the user named it.
  let path: String
  /// Where it is written.
  let staging: String
  private let target: String

  /// Makes the staging folder, and the folders above the place where there are none.
  ///
  /// - Parameter path: where the folder will be; what is there already is replaced by ``commit()``.
  init(path: String) throws {
    self.path = path
    target = StagedFolder.absolute(path)
    let parent = (target as NSString).deletingLastPathComponent
    let name = (target as NSString).lastPathComponent
    guard !name.isEmpty, name != "/" else {
      throw JobError(.usage, "\(path): not a place for a folder; choose another one with -o")
    }
    let parents = try StagedFolder.makeParents(parent, for: path)
    StagedFolder.removeStale(in: parent, name: name, target: target)
    staging = "\(parent)/.\(StagedFolder.shortened(name)).partial-\(getpid())"
    guard mkdir(staging, 0o777) == 0 else {
      let code = errno
      for folder in parents.reversed() { rmdir(folder) }
      throw StagedFolder.failure(code, path)
    }
    Unfinished.add(staging, parents: parents)
  }

  /// `path` from the root, with "." and ".." resolved by name.
  static func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }

  /// Puts the finished folder in place; what was there is swapped out in the same instant, then removed.
  func commit() throws {
    try Unfinished.finish(staging) {
      guard rename(staging, target) != 0 else { return }
      guard errno == ENOTEMPTY || errno == EEXIST else { throw StagedFolder.failure(errno, path) }
      if StagedFolder.exchange(staging, target) {
        try? FileManager.default.removeItem(atPath: staging)
      } else {
        try replaceInSteps()
      }
    }
    StagedFolder.sync((target as NSString).deletingLastPathComponent)
  }

  /// Where the system cannot swap: for an instant there is only the hidden `….old`, which the next run puts back.
  private func replaceInSteps() throws {
    let old = staging + ".old"
    guard rename(target, old) == 0 else { throw StagedFolder.failure(errno, path) }
    guard rename(staging, target) == 0 else {
      let code = errno
      _ = rename(old, target)
      throw StagedFolder.failure(code, path)
    }
    try? FileManager.default.removeItem(atPath: old)
  }

  /// Removes everything that was written.
  func discard() { Unfinished.discard(staging) }

  /// `error` with staged files under the names that they would have got: nobody can look for hidden ones.
  func named(_ error: any Error) -> any Error {
    guard var failure = JobError(error), failure.description.contains(staging) else { return error }
    failure.description = failure.description.replacingOccurrences(of: staging, with: path)
    return failure
  }

  // MARK: System

  private static func makeParents(_ parent: String, for path: String) throws -> [String] {
    var missing: [String] = []
    var place = parent
    while place != "/", access(place, F_OK) != 0 {
      missing.append(place)
      place = (place as NSString).deletingLastPathComponent
    }
    var made: [String] = []
    for folder in missing.reversed() {
      guard mkdir(folder, 0o777) == 0 || errno == EEXIST else {
        let code = errno
        for folder in made.reversed() { rmdir(folder) }
        throw failure(code, path)
      }
      made.append(folder)
    }
    return made
  }

  static func failure(_ code: Int32, _ path: String) -> JobError {
    let error = AtomicFile.failure(code, "make the folder", path)
    return JobError(.inputOutput, error.description)
  }

  /// Swaps two names at once, where kernel and file system can (Linux).
  private static func exchange(_ one: String, _ other: String) -> Bool {
    #if os(Linux)
      // The header declares it for GNU sources only, which Swift's module of the C library is not.
      typealias Function =
        @convention(c) (Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32) ->
        Int32
      guard let symbol = dlsym(nil, "renameat2") else { return false }
      return unsafeBitCast(symbol, to: Function.self)(
        AT_FDCWD, one, AT_FDCWD, other, 2 /* RENAME_EXCHANGE */) == 0
    #else
      renamex_np(one, other, UInt32(RENAME_SWAP)) == 0
    #endif
  }

  private static func sync(_ folder: String) {
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return }
    fsync(descriptor)
    close(descriptor)
  }

  /// File systems allow 255 bytes; the rest of a hidden name needs some.
  private static func shortened(_ name: String) -> String {
    String(decoding: name.utf8.prefix(200), as: UTF8.self)
  }

  /// Removes staging folders whose process is gone, and puts back what one of them had just moved away.
  private static func removeStale(in parent: String, name: String, target: String) {
    let prefix = ".\(shortened(name)).partial-"
    for entry in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
    where entry.hasPrefix(prefix) {
      let number = entry.dropFirst(prefix.count).prefix { $0.isNumber }
      guard let process = Int32(number), kill(process, 0) != 0, errno == ESRCH else { continue }
      let path = "\(parent)/\(entry)"
      if entry.hasSuffix(".old"), access(target, F_OK) != 0, rename(path, target) == 0 { continue }
      try? FileManager.default.removeItem(atPath: path)
    }
  }
}
