import TensorCore

/// Loads an artifact's tensors. Where they are loaded about in the file's order, those behind one are decoded along with it: the
/// threads share many frames better than few, and wait for each other once, not for each tensor.
final class TensorReader: Sendable {
  private struct State {
    /// The tensor behind the last one that was decoded.
    var next = 0
    /// The bytes to decode at once; grows while tensors follow each other.
    var budget = 0
    /// Tensors that were decoded along and not asked for yet, and their bytes.
    var ready: [Int: ByteRegion] = [:]
    var readyBytes = 0

    mutating func take(_ place: Int) -> ByteRegion? {
      guard let region = ready.removeValue(forKey: place) else { return nil }
      readyBytes -= region.count
      return region
    }

    mutating func forget() { (ready, readyBytes) = ([:], 0) }
  }

  /// A model's blocks list their tensors in another order than the file: so many may be between one and the next.
  private static let nearby = 16
  private static let firstBudget = 4 << 20
  private static let mostBudget = 32 << 20

  private let file: SeekableFile
  /// In the file's order.
  private let entries: [ContainerIndex.Entry]
  private let state = Locked(State())

  /// - Parameter entries: the tensors, which do not overlap.
  init(_ file: SeekableFile, _ entries: [ContainerIndex.Entry]) {
    self.file = file
    self.entries = entries.sorted {
      ($0.range.lowerBound, $0.range.upperBound, $0.name) < (
        $1.range.lowerBound, $1.range.upperBound, $1.name
      )
    }
  }

  /// The bytes of each tensor, by its name.
  func tensors() -> [String: TensorBytes] {
    let pairs = entries.enumerated().map { place, entry in
      let bytes = TensorBytes(
        count: entry.range.count, make: { try self.load(place) },
        start: {
          let start = entry.range.lowerBound
          return try self.file.read(start..<start + $0, what: "tensor '\(entry.name)'")
        })
      return (entry.name, bytes)
    }
    return Dictionary(pairs, uniquingKeysWith: { first, _ in first })
  }

  private func load(_ place: Int) throws -> ByteRegion {
    let (found, end) = state.withLock { state in
      let found = state.take(place)
      return (found, found == nil ? plan(place, &state) : place)
    }
    if let found { return found }
    let range = entries[place].range.lowerBound..<entries[end - 1].range.upperBound
    file.expect(upTo: range.upperBound)
    let region: ByteRegion
    do { region = try file.read(range, what: "tensor '\(entries[place].name)'") } catch {
      guard end > place + 1 else { throw error }
      // Which of them is damaged shows when each is decoded alone.
      state.withLock { $0.budget = 0 }
      return try file.read(entries[place].range, what: "tensor '\(entries[place].name)'")
    }
    func slice(_ index: Int) -> ByteRegion {
      let own = entries[index].range
      return region.slice(own.lowerBound - range.lowerBound..<own.upperBound - range.lowerBound)
    }
    if end > place + 1 {
      let others = (place + 1..<end).map { ($0, slice($0)) }
      state.withLock { state in
        for (index, region) in others where state.ready.updateValue(region, forKey: index) == nil {
          state.readyBytes += region.count
        }
      }
    }
    return end == place + 1 ? region : slice(place)
  }

  /// The end of the tensors to decode with the one at `place`.
  private func plan(_ place: Int, _ state: inout State) -> Int {
    if (state.next..<state.next + TensorReader.nearby).contains(place) {
      state.budget = min(max(state.budget * 2, TensorReader.firstBudget), TensorReader.mostBudget)
    } else {
      state.budget = 0
      state.forget()
    }
    if state.readyBytes > TensorReader.mostBudget / 2 { state.forget() }
    var end = place + 1
    let limit = entries[place].range.lowerBound + state.budget
    while end < entries.count, entries[end].range.upperBound <= limit, state.ready[end] == nil { end += 1 }
    state.next = end
    return end
  }
}
