internal import TensorCore

/// A wish to stop that is heard where stopping at once would throw work away: training finishes its step, keeps what it has, and the
/// job goes on to its reports.
public enum GracefulStop {
  private static let state = Locked<(depth: Int, isRequested: Bool)>((0, false))

  /// From here on ``request()`` is heard.
  static func begin() { state.withLock { $0 = (1, false) } }

  /// From here on it is not.
  static func end() { state.withLock { $0.depth = 0 } }

  /// Whether somebody wants to stop.
  static var isRequested: Bool { state.withLock { $0.depth > 0 && $0.isRequested } }

  /// Asks for a stop; false where nobody listens, or it was asked for before: then stop at once.
  public static func request() -> Bool {
    state.withLock { state in
      guard state.depth > 0, !state.isRequested else { return false }
      state.isRequested = true
      return true
    }
  }
}
