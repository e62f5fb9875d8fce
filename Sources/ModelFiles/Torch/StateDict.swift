/// The tensors of a checkpoint's pickle, by name, and what else of it matters.
struct StateDict {
  /// A tensor with its name.
  struct Item {
    var name: String
    let tensor: TorchTensor
  }

  /// The tensors in the pickle's order; each name once.
  private(set) var items: [Item] = []
  /// Remarks for the report.
  private(set) var notes: [String] = []
  /// The training configuration of llama2.c and nanoGPT checkpoints, if there.
  private(set) var arguments: JSONValue?

  private let arena: PickleArena
  private let path: String
  /// How many more values the walk may visit: shared containers are walked again each time that they are met.
  private var budget: Int

  /// Finds the state dict in `root`.
  init(_ root: PickleValue, in arena: PickleArena, path: String) throws(ModelFileError) {
    self.arena = arena
    self.path = path
    let values = arena.objects.reduce(0) { $0 + 1 + $1.items.count }
    self.budget = 16 * values + 1000
    if case .tensor(let place) = root {
      items = [Item(name: "tensor", tensor: arena.tensors[place])]
      return
    }
    let chosen = try choose(root)
    try flatten(chosen, name: "", leavingOut: StateDict.trainingKeys, depth: 0)
    guard !items.isEmpty else {
      throw ModelFileError(.notAModel, path: path, "the checkpoint holds no tensors")
    }
    for prefix in ["module.", "_orig_mod.", "module."] { strip(prefix) }
    try checkNames()
  }

  /// Keys under which checkpoints keep the model, in the order they are looked for.
  private static let modelKeys = ["model", "state_dict", "model_state_dict", "module"]
  /// Keys that hold the state of training, never the model.
  private static let trainingKeys: Set<String> = [
    "optimizer", "optimizer_state_dict", "optimizers", "optim", "lr_scheduler", "scheduler", "scaler", "amp",
    "rng_state", "optimizer_states", "lr_schedulers",
  ]

  // MARK: Which part is the model

  /// Descends through `model`, `state_dict` and the like as long as they hold tensors.
  private mutating func choose(_ root: PickleValue) throws(ModelFileError) -> PickleValue {
    var value = root
    for _ in 0..<4 {
      guard let members = arena.items(of: value, .dictionary) else { break }
      let pairs = stride(from: 0, to: members.count, by: 2).map { (key: members[$0], value: members[$0 + 1]) }
      func member(_ key: String) -> PickleValue? {
        pairs.first { if case .string(key) = $0.key { true } else { false } }?.value
      }
      if arguments == nil, let found = member("model_args") { arguments = json(found) }
      var next: (key: String, value: PickleValue)?
      for key in StateDict.modelKeys where next == nil {
        guard let found = member(key), arena.items(of: found, .dictionary) != nil else { continue }
        if try tensorCount(found) > 0 { next = (key, found) }
      }
      guard let next else { break }
      for pair in pairs {
        guard case .string(let name) = pair.key, name != next.key else { continue }
        try noteLeftOut(name, pair.value)
      }
      value = next.value
    }
    return value
  }

  private mutating func noteLeftOut(_ name: String, _ value: PickleValue) throws(ModelFileError) {
    let count = try tensorCount(value)
    if count > 0 { notes.append("'\(printable(name))' left out: \(count) tensor\(count == 1 ? "" : "s")") }
  }

  /// The tensors below `value`, each container counted once.
  private mutating func tensorCount(_ value: PickleValue) throws(ModelFileError) -> Int {
    var count = 0
    var seen: Set<Int> = []
    var open = [value]
    while let value = open.popLast() {
      try spend()
      switch value {
      case .tensor: count += 1
      case .object(let place) where seen.insert(place).inserted: open += arena.objects[place].items
      default: break
      }
    }
    return count
  }

  private mutating func spend() throws(ModelFileError) {
    budget -= 1
    guard budget >= 0 else {
      throw ModelFileError(
        .badStructure, path: path, "the pickle's containers share their parts so often that they do not end")
    }
  }

  // MARK: Names

  private mutating func flatten(
    _ value: PickleValue, name: String, leavingOut excluded: Set<String>, depth: Int
  ) throws(ModelFileError) {
    try spend()
    guard name.utf8.count <= 4096 else {
      throw ModelFileError(.badStructure, path: path, "a tensor's name is longer than 4096 bytes")
    }
    switch value {
    case .tensor(let place): items.append(Item(name: name, tensor: arena.tensors[place]))
    case .storage:
      throw ModelFileError(.unsupported, path: path, "'\(printable(name))' is a bare storage, no tensor")
    case .object(let place):
      let object = arena.objects[place]
      let prefix = name.isEmpty ? "" : name + "."
      switch object.kind {
      case .list, .tuple:
        for (index, item) in object.items.enumerated() {
          try flatten(item, name: prefix + String(index), leavingOut: [], depth: depth + 1)
        }
      case .dictionary:
        for index in stride(from: 0, to: object.items.count, by: 2) {
          try flattenMember(
            key: object.items[index], object.items[index + 1], prefix: prefix, leavingOut: excluded,
            depth: depth)
        }
      case .set: break
      }
    default: break
    }
  }

  private mutating func flattenMember(
    key: PickleValue, _ value: PickleValue, prefix: String, leavingOut excluded: Set<String>, depth: Int
  ) throws(ModelFileError) {
    try spend()
    let part: String
    switch key {
    case .string(let text): part = text
    case .int(let number): part = String(number)
    default:
      guard try tensorCount(value) == 0 else {
        throw ModelFileError(
          .unsupported, path: path, "a dictionary of tensors has a key that is neither a string nor a number")
      }
      return
    }
    if excluded.contains(part), case .object = value { return try noteLeftOut(part, value) }
    try flatten(value, name: prefix + part, leavingOut: [], depth: depth + 1)
  }

  /// Takes `prefix` off all names, if all have it.
  private mutating func strip(_ prefix: String) {
    guard items.allSatisfy({ $0.name.hasPrefix(prefix) && $0.name.utf8.count > prefix.utf8.count }) else {
      return
    }
    for place in items.indices { items[place].name.removeFirst(prefix.count) }
  }

  private func checkNames() throws(ModelFileError) {
    var seen: Set<String> = []
    for item in items where !seen.insert(item.name).inserted {
      throw ModelFileError(.duplicate, path: path, "tensor '\(printable(item.name))' is there twice")
    }
  }

  // MARK: Configuration

  /// Plain data as JSON, or nil when it is something else or too much of it.
  private func json(_ value: PickleValue) -> JSONValue? {
    var budget = 10_000
    return json(value, depth: 0, budget: &budget)
  }

  private func json(_ value: PickleValue, depth: Int, budget: inout Int) -> JSONValue? {
    budget -= 1
    guard budget >= 0, depth < 16 else { return nil }
    switch value {
    case .none: return .null
    case .bool(let flag): return .bool(flag)
    case .int(let number): return .integer(number)
    case .double(let number): return .number(number)
    case .string(let text): return .string(text)
    case .object(let place):
      let items = arena.objects[place].items
      if arena.objects[place].kind != .dictionary {
        var elements: [JSONValue] = []
        for item in items {
          guard let element = json(item, depth: depth + 1, budget: &budget) else { return nil }
          elements.append(element)
        }
        return .array(elements)
      }
      var object = JSONObject()
      for index in stride(from: 0, to: items.count, by: 2) {
        guard case .string(let key) = items[index],
          let member = json(items[index + 1], depth: depth + 1, budget: &budget)
        else { return nil }
        object[key] = member
      }
      return .object(object)
    default: return nil
    }
  }
}
