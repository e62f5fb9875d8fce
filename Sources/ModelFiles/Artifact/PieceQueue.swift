import TensorCore

/// A decoded frame on its way into a file.
struct UnpackedPiece: @unchecked Sendable {  // one thread at a time has it
  /// The place of its part in the order of parts.
  let order: Int
  /// Its first byte in the file.
  let place: Int
  /// The memory that it lies in, for the next frame.
  let room: UnsafeMutableRawBufferPointer
  /// What goes into the file.
  let bytes: UnsafeMutableRawBufferPointer
  /// What belongs to the part: all but the padding.
  let own: UnsafeRawBufferPointer
}

/// Has pieces written by one thread at a time, while the others go on: a file lets one in at a time anyway, and the others would
/// sleep meanwhile. Whoever brings pieces while nobody writes, writes all that come until none is left.
final class PieceQueue: Sendable {
  private struct State: @unchecked Sendable {
    var isWriting = false
    var waiting: [UnpackedPiece] = []
    var rooms: [UnsafeMutableRawBufferPointer] = []
  }

  private let state = Locked(State())
  private let limit: Int

  /// - Parameter limit: how many pieces may wait; who brings more writes them itself, and waits for the file.
  init(limit: Int) { self.limit = limit }

  deinit {
    for room in state.withLock({ $0.rooms }) { room.deallocate() }
  }

  /// Memory for a frame of `count` bytes: that of an earlier one where it is large enough.
  func room(_ count: Int) -> UnsafeMutableRawBufferPointer {
    let kept: UnpackedRoom = state.withLock { UnpackedRoom($0.rooms.popLast()) }
    if let room = kept.room {
      if room.count >= count { return room }
      room.deallocate()
    }
    return .allocate(byteCount: max(count, ArtifactFile.frameSize), alignment: 64)
  }

  /// Takes pieces whose bytes stay as they are; `write` may get those that other threads brought, too.
  func put(_ pieces: [UnpackedPiece], _ write: (UnpackedPiece) -> Void) {
    let own: [UnpackedPiece]? = state.withLock { state in
      if state.isWriting {
        guard state.waiting.count >= limit else {
          state.waiting += pieces
          return nil
        }
        return pieces
      }
      state.isWriting = true
      state.waiting += pieces
      return []
    }
    guard let own else { return }
    guard own.isEmpty else {
      for piece in own { finish(piece, write) }
      return
    }
    while let piece = nextPiece() { finish(piece, write) }
  }

  private func nextPiece() -> UnpackedPiece? {
    state.withLock { state in
      guard !state.waiting.isEmpty else {
        state.isWriting = false
        return nil
      }
      return state.waiting.removeFirst()
    }
  }

  private func finish(_ piece: UnpackedPiece, _ write: (UnpackedPiece) -> Void) {
    write(piece)
    state.withLock { $0.rooms.append(piece.room) }
  }

  /// Memory that leaves the lock.
  private struct UnpackedRoom: @unchecked Sendable {
    let room: UnsafeMutableRawBufferPointer?
    init(_ room: UnsafeMutableRawBufferPointer?) { self.room = room }
  }
}
