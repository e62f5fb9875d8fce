/// The names that a pickle may refer to. Each stands for something that we do ourselves; nothing is ever looked up.
enum PickleGlobal {
  case rebuildTensor, rebuildTensorV2, rebuildTensorV3
  case rebuildParameter, rebuildParameterWithState, rebuildFromType
  case orderedDictionary, set, encode
  case size, device, layout
  /// `torch.Tensor` and `torch.nn.Parameter`, as arguments only.
  case tensorClass
  /// A storage class; nil for storages of untyped bytes.
  case storageClass(TorchElement?)
  /// An element type, such as `torch.float16`.
  case element(TorchElement)

  /// The whitelisted meaning of `module.name`, or nil.
  init?(module: String, name: String) {
    switch module {
    case "torch":
      if let element = TorchElement(storageClass: name) {
        self = .storageClass(element)
      } else if let element = TorchElement(rawValue: name) {
        self = .element(element)
      } else if let known = PickleGlobal.names["torch.\(name)"] {
        self = known
      } else {
        return nil
      }
    case "torch.cuda":
      guard let element = TorchElement(storageClass: name) else { return nil }
      self = .storageClass(element)
    default:
      guard let known = PickleGlobal.names["\(module).\(name)"] else { return nil }
      self = known
    }
  }

  private static let names: [String: PickleGlobal] = [
    "torch._utils._rebuild_tensor": .rebuildTensor,
    "torch._utils._rebuild_tensor_v2": .rebuildTensorV2,
    "torch._utils._rebuild_tensor_v3": .rebuildTensorV3,
    "torch._utils._rebuild_parameter": .rebuildParameter,
    "torch._utils._rebuild_parameter_with_state": .rebuildParameterWithState,
    "torch._tensor._rebuild_from_type_v2": .rebuildFromType,
    "collections.OrderedDict": .orderedDictionary,
    "builtins.set": .set, "__builtin__.set": .set,
    "builtins.frozenset": .set, "__builtin__.frozenset": .set,
    "_codecs.encode": .encode,
    "torch.Size": .size, "torch.device": .device,
    "torch.serialization._get_layout": .layout,
    "torch.Tensor": .tensorClass, "torch.nn.parameter.Parameter": .tensorClass,
    "torch.storage.UntypedStorage": .storageClass(nil), "torch.UntypedStorage": .storageClass(nil),
  ]
}

extension PickleMachine {
  /// What `function(*arguments)` gives: only tensors and inert data can be asked for.
  mutating func call(_ function: PickleGlobal, _ arguments: [PickleValue]) throws(ModelFileError)
    -> PickleValue
  {
    switch function {
    case .rebuildTensor, .rebuildTensorV2, .rebuildTensorV3:
      return try rebuildTensor(function, arguments)
    case .rebuildParameter, .rebuildParameterWithState:
      guard arguments.count >= 3, case .tensor = arguments[0] else {
        throw malformed("a parameter is not made from a tensor")
      }
      return arguments[0]
    case .rebuildFromType:
      guard arguments.count == 4, case .global(let inner) = arguments[0],
        case .global(.tensorClass) = arguments[1],
        inner.rebuildsTensor, let innerArguments = arena.items(of: arguments[2], .tuple)
      else { throw malformed("a tensor subclass is not made from a tensor") }
      return try call(inner, innerArguments)
    case .orderedDictionary: return try makeOrderedDictionary(arguments)
    case .set:
      guard arguments.count <= 1 else { throw malformed("a set takes one list") }
      let elements = arguments.first.flatMap { arena.sequence($0) } ?? []
      try count(elements.count)
      return arena.add(.set, elements)
    case .size:
      guard arguments.count == 1, let sizes = arena.sequence(arguments[0]) else {
        throw malformed("torch.Size takes one tuple")
      }
      try count(sizes.count)
      return arena.add(.tuple, sizes)
    case .encode: return .bytes
    case .device, .layout: return .none
    case .tensorClass: throw forbidden("make a bare torch.Tensor")
    case .storageClass: throw forbidden("make a storage of its own")
    case .element(let element): throw forbidden("call 'torch.\(element.rawValue)'")
    }
  }

  /// The OrderedDict of nothing, or of a list of pairs, which is how Python 2 wrote them.
  private mutating func makeOrderedDictionary(_ arguments: [PickleValue]) throws(ModelFileError)
    -> PickleValue
  {
    guard let first = arguments.first else { return arena.add(.dictionary) }
    guard arguments.count == 1, let pairs = arena.sequence(first) else {
      throw malformed("an OrderedDict takes one list of pairs")
    }
    var items: [PickleValue] = []
    for pair in pairs {
      guard let both = arena.sequence(pair), both.count == 2 else {
        throw malformed("an OrderedDict takes one list of pairs")
      }
      try count(2)
      items += both
    }
    return arena.add(.dictionary, items)
  }

  private mutating func rebuildTensor(
    _ function: PickleGlobal, _ arguments: [PickleValue]
  ) throws(ModelFileError) -> PickleValue {
    guard arguments.count >= function.argumentCount, case .storage(let reference) = arguments[0],
      case .int(let offset) = arguments[1]
    else { throw malformed("a tensor is not made from a storage, an offset, sizes and strides") }
    let shape = try dimensions(arguments[2])
    let strides = try dimensions(arguments[3])
    guard shape.count == strides.count else {
      throw malformed("a tensor has \(shape.count) sizes and \(strides.count) strides")
    }
    try count(8 + 2 * shape.count)
    let storage = arena.storages[reference.index]
    var element = storage.element
    if case .rebuildTensorV3 = function {
      guard case .global(.element(let named)) = arguments[6] else {
        throw malformed("a tensor's element type is not named")
      }
      element = named
    }
    try checkFlags(arguments.dropFirst(function.argumentCount).first)
    arena.tensors.append(
      TorchTensor(storage: storage, element: element, offset: offset, shape: shape, strides: strides))
    return .tensor(arena.tensors.count - 1)
  }

  /// Refuses tensors whose numbers are to be read negated or conjugated.
  private func checkFlags(_ metadata: PickleValue?) throws(ModelFileError) {
    guard let metadata, let items = arena.items(of: metadata, .dictionary), !items.isEmpty else { return }
    throw ModelFileError(.unsupported, path: path, "a tensor carries torch's negated or conjugated flag")
  }

  private func dimensions(_ value: PickleValue) throws(ModelFileError) -> [Int] {
    guard let items = arena.sequence(value), items.count <= 64 else {
      throw malformed("a tensor's sizes or strides are no tuple of at most 64 numbers")
    }
    var sizes: [Int] = []
    for item in items {
      guard case .int(let size) = item else {
        throw malformed("a tensor's size or stride is no 64-bit number")
      }
      sizes.append(size)
    }
    return sizes
  }
}

extension PickleGlobal {
  /// Whether calling this makes a tensor from a storage or from another tensor.
  fileprivate var rebuildsTensor: Bool {
    switch self {
    case .rebuildTensor, .rebuildTensorV2, .rebuildTensorV3, .rebuildParameter, .rebuildParameterWithState:
      true
    default: false
    }
  }

  /// The arguments that a tensor is made from at least; the metadata may follow.
  fileprivate var argumentCount: Int {
    switch self {
    case .rebuildTensor: 4
    case .rebuildTensorV3: 7
    default: 6
    }
  }
}
