/// What a pickle can hold here: plain data, storages and tensors. Nothing in it can run.
enum PickleValue {
  case none
  case bool(Bool)
  case int(Int)
  /// A whole number beyond 64 bits: its little-endian two's complement.
  case big([UInt8])
  case double(Double)
  case string(String)
  /// Raw bytes; nobody needs their content.
  case bytes
  /// A list, tuple, dictionary or set: its place in the arena.
  case object(Int)
  /// A tensor: its place in the arena.
  case tensor(Int)
  case storage(TorchStorageReference)
  /// A name on the whitelist.
  case global(PickleGlobal)
}

/// The place of a storage in the arena.
struct TorchStorageReference { let index: Int }

/// A list, tuple, dictionary or set.
struct PickleObject {
  /// The four kinds of container.
  enum Kind { case list, tuple, dictionary, set }

  let kind: Kind
  /// The elements; a dictionary's keys and values in turn.
  var items: [PickleValue]
}

/// The containers and tensors of one pickle. Values refer to them by number, so no chain of references can grow deep.
struct PickleArena {
  var objects: [PickleObject] = []
  var tensors: [TorchTensor] = []
  var storages: [TorchStorage] = []

  /// Keeps `object` and returns the value that stands for it.
  mutating func add(_ kind: PickleObject.Kind, _ items: [PickleValue] = []) -> PickleValue {
    objects.append(PickleObject(kind: kind, items: items))
    return .object(objects.count - 1)
  }

  /// The elements of a container of `kind`, or nil when `value` is something else.
  func items(of value: PickleValue, _ kind: PickleObject.Kind) -> [PickleValue]? {
    guard case .object(let place) = value, objects[place].kind == kind else { return nil }
    return objects[place].items
  }

  /// The elements of a list or tuple, or nil.
  func sequence(_ value: PickleValue) -> [PickleValue]? {
    items(of: value, .list) ?? items(of: value, .tuple)
  }

  /// How deep containers may nest.
  static let depthLimit = 100

  /// Refuses containers that hold themselves, and ones that nest too deep: what is left is finite when walked.
  func checkFinite(from root: PickleValue, path: String) throws(ModelFileError) {
    guard case .object(let start) = root else { return }
    let isOpen = -1
    var heights = [Int](repeating: 0, count: objects.count)
    var open: [(object: Int, next: Int, height: Int)] = [(start, 0, 1)]
    heights[start] = isOpen
    while let top = open.last {
      let last = open.count - 1
      guard last + top.height <= PickleArena.depthLimit else {
        throw ModelFileError(
          .badStructure, path: path, "the pickle nests containers more than \(PickleArena.depthLimit) deep")
      }
      guard top.next < objects[top.object].items.count else {
        heights[top.object] = top.height
        open.removeLast()
        if last > 0 { open[last - 1].height = max(open[last - 1].height, top.height + 1) }
        continue
      }
      open[last].next += 1
      guard case .object(let child) = objects[top.object].items[top.next] else { continue }
      if heights[child] == isOpen {
        throw ModelFileError(.badStructure, path: path, "the pickle is recursive: a container holds itself")
      } else if heights[child] > 0 {
        open[last].height = max(top.height, heights[child] + 1)
      } else {
        heights[child] = isOpen
        open.append((child, 0, 1))
      }
    }
  }
}
