import Foundation
internal import TensorCore

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// The folders that are being written just now, and have to go when the program is stopped.
public enum Unfinished {
  /// Staging folders, with the folders above them that were made for them, outermost first.
  private static let folders = Locked<[String: [String]]>([:])

  /// Notes that `path` is unfinished.
  static func add(_ path: String, parents: [String]) { folders.withLock { $0[path] = parents } }

  /// Runs `body`, which gives the folder its name: a stop comes before it or after it, never between.
  static func finish(_ path: String, _ body: () throws -> Void) throws {
    try folders.withLock { folders in
      try body()
      folders[path] = nil
    }
  }

  /// Removes the folder and what was made for it.
  static func discard(_ path: String) {
    folders.withLock { folders in
      remove(path, parents: folders[path] ?? [])
      folders[path] = nil
    }
  }

  /// Removes everything unfinished, then ends the program by `end`.
  ///
  /// The lock is kept until the end: nobody can finish, begin, or report the errors that follow when files vanish.
  public static func stop(_ end: () -> Never) -> Never {
    folders.withLock { folders in
      for (path, parents) in folders { remove(path, parents: parents) }
      end()
    }
  }

  /// Returns at once, or never when the program is being stopped: call it before an error is reported.
  public static func waitWhileStopping() { folders.withLock { _ in } }

  private static func remove(_ path: String, parents: [String]) {
    // Other threads may still be writing into it: a folder that was just emptied may have a new file.
    for _ in 0..<20 where access(path, F_OK) == 0 { try? FileManager.default.removeItem(atPath: path) }
    for folder in parents.reversed() { rmdir(folder) }
  }
}
