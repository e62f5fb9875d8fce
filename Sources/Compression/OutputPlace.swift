import Foundation
internal import ModelFiles

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Checks on a place before anything is written there.
public enum OutputPlace {
  /// Refuses a single file that would replace an input, or anything at all without `force`.
  ///
  /// - Parameter inputs: the files that are read; a folder among them stands for all that is in it.
  public static func check(file path: String, inputs: [String], force: Bool) throws {
    guard !path.isEmpty else { throw JobError(.usage, "-o '': an output needs a name") }
    try AtomicFile.refuse(path, overwriting: inputs)
    var status = stat()
    guard stat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFREG else {
      let what = status.st_mode & S_IFMT == S_IFDIR ? "is a folder" : "is no regular file"
      throw JobError(.usage, "\(path): \(what); name a file with -o")
    }
    // A new file beside a model in its folder is fine; replacing one that is there is not, whatever part it plays.
    for input in inputs where isDirectory(input) {
      guard resolved(path).hasPrefix(resolved(input) + "/") else { continue }
      throw JobError(
        .usage, "\(path): the output would replace a file of the input \(input); choose another place with -o"
      )
    }
    guard !force else { return }
    throw JobError(.usage, "\(path): exists; choose another place with -o, or replace it with --force")
  }

  /// Refuses a folder that is, holds, or lies in one of `inputs`.
  static func check(_ output: String, against inputs: [String]) throws {
    guard !output.isEmpty else { throw JobError(.usage, "-o '': an output needs a name") }
    let target = resolved(output)
    for input in inputs {
      let source = resolved(input)
      if target == source || (isDirectory(source) && target.hasPrefix(source + "/")) {
        throw JobError(
          .usage,
          "\(output): the output would \(target == source ? "replace" : "lie inside") the input \(input); "
            + "choose another place with -o")
      }
      if source.hasPrefix(target == "/" ? "/" : target + "/") {
        throw JobError(
          .usage, "\(output): the input \(input) lies inside the output; choose another place with -o")
      }
    }
  }

  /// The names in the folder at `path`, sorted; nil when nothing is there.
  ///
  /// - Throws: ``JobError`` when something else than a folder is there, or it cannot be read.
  static func contents(of path: String) throws -> [String]? {
    var status = stat()
    guard lstat(path, &status) == 0 else { return nil }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw JobError(.usage, "\(path): exists and is no folder; choose another place with -o")
    }
    do { return try FileManager.default.contentsOfDirectory(atPath: path).sorted() } catch {
      throw JobError(.inputOutput, "\(path): the folder cannot be read; choose another place with -o")
    }
  }

  /// Refuses a place on a disk that has fewer than `bytes` left.
  static func requireSpace(_ bytes: Int, at path: String) throws {
    guard let free = AtomicFile.freeSpace(at: path), free < bytes else { return }
    throw JobError(
      .inputOutput,
      "\(path): needs \(bytes) bytes, the disk has \(free) left; make room or choose another place with -o")
  }

  /// The path with symbolic links followed as far as it exists.
  private static func resolved(_ path: String) -> String {
    var tail: [String] = []
    var head = StagedFolder.absolute(path)
    while head != "/" {
      if let real = realpath(head, nil) {
        defer { free(real) }
        return ([String(cString: real)] + tail.reversed()).joined(separator: "/")
      }
      tail.append((head as NSString).lastPathComponent)
      head = (head as NSString).deletingLastPathComponent
    }
    return "/" + tail.reversed().joined(separator: "/")
  }

  private static func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }
}
