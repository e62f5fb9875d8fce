internal import Foundation
internal import TensorCore

/// What is being written just now, and has to go when the program is stopped.
public enum Unfinished {
  private static let paths = Locked<Set<String>>([])

  /// Notes that `path` is unfinished.
  static func add(_ path: String) { paths.withLock { _ = $0.insert(path) } }

  /// Notes that `path` is finished or gone.
  static func remove(_ path: String) { paths.withLock { _ = $0.remove(path) } }

  /// Removes everything unfinished. Called when the program is stopped: the lock is kept, so nobody can finish or begin.
  public static func removeAll() {
    paths.withLock { paths in
      for path in paths { try? FileManager.default.removeItem(atPath: path) }
      paths = []
    }
  }
}
