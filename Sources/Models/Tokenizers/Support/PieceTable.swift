/// Bytes to ids: an open-addressing hash table over pieces that lie in one array.
///
/// Pieces are compared byte by byte. (Swift's strings would not do: they are equal when canonically equivalent, which
/// vocabularies are not.)
struct PieceTable: Sendable {
  private var slots: [Int32]
  private var mask: Int
  private var hashes: [UInt32] = []
  private var ends: [Int] = [0]
  private var ids: [Int32] = []
  private var bytes: [UInt8] = []
  /// The length of the longest piece.
  private(set) var longest = 0

  /// An empty table with room for `capacity` pieces.
  init(capacity: Int = 16) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    slots = Array(repeating: -1, count: size)
    mask = size - 1
  }

  /// The number of pieces.
  var count: Int { ids.count }

  /// Adds `piece`, unless it is there.
  ///
  /// - Returns: whether it was added; an existing piece keeps its id unless `replacing`.
  @discardableResult
  mutating func insert(_ piece: [UInt8], id: Int, replacing: Bool = false) -> Bool {
    if ids.count * 2 >= slots.count { grow() }
    return piece.withUnsafeBytes { buffer in
      let hash = PieceTable.hash(buffer)
      var slot = Int(hash) & mask
      while slots[slot] >= 0 {
        if matches(Int(slots[slot]), buffer, hash) {
          if replacing { ids[Int(slots[slot])] = Int32(truncatingIfNeeded: id) }
          return false
        }
        slot = (slot + 1) & mask
      }
      slots[slot] = Int32(truncatingIfNeeded: ids.count)
      hashes.append(hash)
      bytes.append(contentsOf: piece)
      ends.append(bytes.count)
      ids.append(Int32(truncatingIfNeeded: id))
      longest = max(longest, piece.count)
      return true
    }
  }

  /// The id of `piece`, or nil.
  func id(of piece: UnsafeRawBufferPointer) -> Int? {
    guard piece.count <= longest else { return nil }
    let hash = PieceTable.hash(piece)
    var slot = Int(hash) & mask
    while slots[slot] >= 0 {
      if matches(Int(slots[slot]), piece, hash) { return Int(ids[Int(slots[slot])]) }
      slot = (slot + 1) & mask
    }
    return nil
  }

  /// The id of `piece`, or nil.
  func id(of piece: [UInt8]) -> Int? { piece.withUnsafeBytes { id(of: $0) } }

  private func matches(_ entry: Int, _ piece: UnsafeRawBufferPointer, _ hash: UInt32) -> Bool {
    guard hashes[entry] == hash, ends[entry + 1] - ends[entry] == piece.count else { return false }
    let start = ends[entry]
    for place in 0..<piece.count where bytes[start + place] != piece[place] { return false }
    return true
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: slots.count * 2)
    mask = slots.count - 1
    for entry in ids.indices {
      var slot = Int(hashes[entry]) & mask
      while slots[slot] >= 0 { slot = (slot + 1) & mask }
      slots[slot] = Int32(truncatingIfNeeded: entry)
    }
  }

  /// A hash of `bytes`, eight at a time.
  static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    let factor: UInt64 = 0x9E37_79B9_7F4A_7C15
    var hash = UInt64(truncatingIfNeeded: bytes.count) &* factor
    var place = 0
    while place + 8 <= bytes.count {
      hash = (hash ^ bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self)) &* factor
      hash ^= hash >> 32
      place += 8
    }
    var tail: UInt64 = 0
    while place < bytes.count {
      tail = tail << 8 | UInt64(bytes[place])
      place += 1
    }
    hash = (hash ^ tail) &* factor
    return UInt32(truncatingIfNeeded: hash >> 32)
  }
}

/// 64-bit keys to 64-bit values, open addressing.
struct PairTable: Sendable {
  private var keys: [UInt64]
  private var values: [UInt64]
  private var mask: Int
  private(set) var count = 0
  private static let free = UInt64.max

  /// An empty table with room for `capacity` pairs.
  init(capacity: Int = 16) {
    var size = 16
    while size < capacity * 2 { size *= 2 }
    keys = Array(repeating: PairTable.free, count: size)
    values = Array(repeating: 0, count: size)
    mask = size - 1
  }

  private func slot(of key: UInt64) -> Int {
    var slot = Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 32) & mask
    while keys[slot] != PairTable.free, keys[slot] != key { slot = (slot + 1) & mask }
    return slot
  }

  /// The value of `key`; a key of all ones can't be stored.
  subscript(key: UInt64) -> UInt64? {
    get {
      let slot = slot(of: key)
      return keys[slot] == key ? values[slot] : nil
    }
    set {
      guard let newValue, key != PairTable.free else { return }
      if count * 2 >= keys.count { grow() }
      let slot = slot(of: key)
      if keys[slot] != key { count += 1 }
      keys[slot] = key
      values[slot] = newValue
    }
  }

  private mutating func grow() {
    let old = (keys, values)
    keys = Array(repeating: PairTable.free, count: keys.count * 2)
    values = Array(repeating: 0, count: keys.count)
    mask = keys.count - 1
    for place in old.0.indices where old.0[place] != PairTable.free {
      let slot = slot(of: old.0[place])
      keys[slot] = old.0[place]
      values[slot] = old.1[place]
    }
  }
}

/// A trie over bytes, whose edges lie in one hash table.
struct ByteTrie: Sendable {
  private var edges: PairTable
  private var values: [Int32] = [-1]
  private var starts = [Bool](repeating: false, count: 256)

  /// An empty trie.
  init(capacity: Int = 16) { edges = PairTable(capacity: capacity) }

  /// Whether nothing was inserted.
  var isEmpty: Bool { values.count == 1 }
  /// Whether some key starts with `byte`.
  func hasKey(startingWith byte: UInt8) -> Bool { starts[Int(byte)] }

  /// Adds `key`; a later value replaces an earlier one. Empty keys are left out.
  mutating func insert(_ key: [UInt8], value: Int) {
    guard let first = key.first else { return }
    starts[Int(first)] = true
    var node = 0
    for byte in key {
      let edge = UInt64(node) << 8 | UInt64(byte)
      if let next = edges[edge] {
        node = Int(next)
      } else {
        edges[edge] = UInt64(values.count)
        node = values.count
        values.append(-1)
      }
    }
    values[node] = Int32(truncatingIfNeeded: value)
  }

  /// The child of `node` along `byte`, or nil; the root is 0.
  func child(of node: Int, _ byte: UInt8) -> Int? { edges[UInt64(node) << 8 | UInt64(byte)].map(Int.init) }

  /// The value at `node`, or nil.
  func value(at node: Int) -> Int? { values[node] >= 0 ? Int(values[node]) : nil }

  /// The longest key that `text` has at `start`: its value and length.
  func longestMatch(in text: UnsafeRawBufferPointer, at start: Int) -> (value: Int, length: Int)? {
    guard start < text.count, starts[Int(text[start])] else { return nil }
    var node = 0
    var found: (Int, Int)?
    var place = start
    while place < text.count, let next = child(of: node, text[place]) {
      node = next
      place += 1
      if let value = value(at: node) { found = (value, place - start) }
    }
    return found
  }
}
