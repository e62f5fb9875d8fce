/// Memory of loops that need the same buffers again and again: while one runs, what is freed waits for the next request of its
/// size. Fresh memory costs a page fault for every 4 KiB, which is more than what many of the loops do with it.
package enum ReusedMemory {
  private struct State {
    var loops = 0
    var free: [Int: [UInt]] = [:]
    var bytes = 0
    var most = usual
  }

  /// The bytes that wait at most, unless a loop asks for more.
  private static let usual = 192 << 20

  private static let state = Locked(State())

  /// Runs a loop; what it has freed goes back to the system at its end.
  ///
  /// - Parameter most: the bytes that may wait; nil for the usual number.
  package static func keeping<Result>(most: Int? = nil, _ body: () throws -> Result) rethrows -> Result {
    state.withLock {
      $0.loops += 1
      $0.most = max($0.most, most ?? 0)
    }
    defer {
      let left: [UInt] = state.withLock { state in
        state.loops -= 1
        guard state.loops == 0 else { return [] }
        defer { (state.free, state.bytes, state.most) = ([:], 0, usual) }
        return state.free.values.flatMap { $0 }
      }
      for address in left { UnsafeMutableRawPointer(bitPattern: address)?.deallocate() }
    }
    return try body()
  }

  /// At least `bytes` bytes, aligned to 64, with anything in them.
  package static func take(_ bytes: Int) -> UnsafeMutableRawPointer {
    let size = rounded(bytes)
    let kept: UInt? = state.withLock { state in
      guard let found = state.free[size]?.popLast() else { return nil }
      state.bytes -= size
      return found
    }
    return kept.flatMap { UnsafeMutableRawPointer(bitPattern: $0) }
      ?? .allocate(byteCount: size, alignment: 64)
  }

  /// Frees what was taken.
  package static func give(back memory: UnsafeMutableRawPointer, _ bytes: Int) {
    let (address, size) = (UInt(bitPattern: memory), rounded(bytes))
    let isKept = state.withLock { state in
      guard state.loops > 0, state.bytes + size <= state.most else { return false }
      state.free[size, default: []].append(address)
      state.bytes += size
      return true
    }
    if !isKept { memory.deallocate() }
  }

  /// Sizes in steps of an eighth, so that sequences of like lengths share their buffers; small ones as they are.
  private static func rounded(_ bytes: Int) -> Int {
    guard bytes > 1 << 16 else { return max(bytes, 1) }
    let step = 1 << (Int.bitWidth - bytes.leadingZeroBitCount - 4)
    return (bytes + step - 1) / step * step
  }
}
